#include "store/postgres_library.hpp"

#include "store/driver.hpp"
#include "sys/shared_library.hpp"

namespace corral::store {

Result<std::shared_ptr<const PostgresLibrary>> load_postgres_library() {
  auto opened = sys::SharedLibrary::open("libpq.so.5");
  if (!opened)
    return fail(ErrorCode::unavailable, "PostgreSQL's client library is not installed")
        .hint("install libpq5 (apt-get install libpq5), or use an SQLite database")
        .because(opened.error().cause);
  auto library = std::make_shared<PostgresLibrary>();
#define CORRAL_LOAD(name)                                               \
  {                                                                     \
    CORRAL_TRY(void* address, opened->symbol(#name));                   \
    library->name = reinterpret_cast<decltype(library->name)>(address); \
  }
  CORRAL_LIBPQ_FUNCTIONS(CORRAL_LOAD)
#undef CORRAL_LOAD
  if (library->PQisthreadsafe() == 0)
    return fail(ErrorCode::unavailable, "PostgreSQL's client library was built without threads")
        .hint("install the distribution's libpq5");
  return library;
}

}  // namespace corral::store
