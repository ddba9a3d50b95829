// The types of values a property can have: how each is read from a document, written, described
// and checked. A value is written as JSON, which is YAML too.
//
// Thread rule: immutable once made.
// Example: whole(0, 1024)->read(node) gives an unsigned or an error such as
//   "'many' is not a whole number (0 to 1024)".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "config/node.hpp"
#include "config/settings.hpp"

namespace corral::config {

template <class T>
class Type {
 public:
  virtual ~Type() = default;
  virtual Result<T> read(const ConfigNode& node) const = 0;
  virtual std::string write(const T& value) const = 0;
  virtual std::string name() const = 0;    // for people: "duration"
  virtual std::string schema() const = 0;  // members of a JSON Schema object, without braces
};

template <class T>
using TypePtr = std::shared_ptr<const Type<T>>;
using TextList = std::vector<std::string>;
using Scalars = std::map<std::string, Scalar>;

/** The error of a value that is no good. */
Error bad(std::string message);

TypePtr<bool> flag();
TypePtr<unsigned> whole(unsigned least, unsigned most);
TypePtr<std::uint64_t> count(std::uint64_t least, std::uint64_t most);
TypePtr<std::uint64_t> bytes(std::uint64_t least, std::uint64_t most);
TypePtr<Milliseconds> duration(Milliseconds least, Milliseconds most);
// "default" is -1 ms: what is configured above.
TypePtr<Milliseconds> duration_or_default(Milliseconds least, Milliseconds most);
TypePtr<double> real(double least, double most);
TypePtr<std::optional<unsigned>> whole_or_default(unsigned least, unsigned most);
TypePtr<std::string> text();
TypePtr<std::string> choice(std::vector<std::string> allowed);
TypePtr<TextList> texts();
TypePtr<Secret> secret();  // write() gives "***"
TypePtr<std::vector<ListenAddress>> addresses();
TypePtr<Balance> balance();
TypePtr<StickyBy> sticky_by();
TypePtr<CachePolicy> cache_policy();
TypePtr<Priority> priority();
TypePtr<Scalars> scalars();  // names with texts, numbers, or true and false

}  // namespace corral::config
