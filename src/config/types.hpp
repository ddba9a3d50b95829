// The types of values a property can have: how each is read from a document, written, described
// and checked. A value is written as JSON, which is YAML too.
//
// Thread rule: immutable once made.
// Example: whole(0, 1024)->read(node) gives an unsigned or an error such as
//   "'many' is not a whole number (0 to 1024)".
#pragma once

#include <cstdint>
#include <memory>
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

TypePtr<bool> flag();
TypePtr<unsigned> whole(unsigned least, unsigned most);
TypePtr<std::uint64_t> count(std::uint64_t least, std::uint64_t most);
TypePtr<std::uint64_t> bytes(std::uint64_t least, std::uint64_t most);
TypePtr<Milliseconds> duration(Milliseconds least, Milliseconds most);
TypePtr<Milliseconds> duration_or_default();  // "default" is -1 ms: what is configured above
TypePtr<std::string> text();
TypePtr<std::string> choice(std::vector<std::string> allowed);
TypePtr<TextList> texts();
TypePtr<Secret> secret();  // write() gives "***"
TypePtr<std::vector<ListenAddress>> addresses();

}  // namespace corral::config
