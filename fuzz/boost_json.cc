// Boost.JSON with instrumentation, in place of Debian's library.
#include <boost/json/src.hpp>
