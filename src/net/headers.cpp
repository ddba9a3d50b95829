#include "net/headers.hpp"

#include "base/cursor.hpp"
#include "base/text.hpp"

namespace corral::net {
namespace {

constexpr std::size_t kUsualBytes = 384, kUsualFields = 12;

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && iequals(a, b);
}

// Calls `visit(token)` for each non-empty element of a comma list until it returns true.
template <class Visit>
bool any_token(std::string_view list, Visit visit) {
  while (!list.empty()) {
    auto comma = list.find(',');
    auto token = trim(list.substr(0, comma));
    if (!token.empty() && visit(token)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace

void Headers::add(std::string_view name, std::string_view value) {
  // A view into our own text would dangle when the text grows between the two appends.
  auto inside = [this](std::string_view view) {
    return view.data() >= text_.data() && view.data() < text_.data() + text_.size();
  };
  if (inside(name) || inside(value)) {
    const std::string own_name(name), own_value(value);
    add(own_name, own_value);
    return;
  }
  if (fields_.capacity() == 0) {  // at once for a usual head, instead of doubling up to it
    text_.reserve(kUsualBytes);
    fields_.reserve(kUsualFields);
  }
  std::size_t before = text_.size(), size = before + name.size() + value.size();
  // Growing by the exact size would copy all of it for each field.
  if (size > text_.capacity()) text_.reserve(2 * size);
  text_.resize_and_overwrite(size, [&](char* begin, std::size_t) {
    Cursor out{begin + before};
    out.put(name);
    out.put(value);
    return size;
  });
  fields_.push_back({static_cast<std::uint32_t>(before), static_cast<std::uint32_t>(name.size()),
                     static_cast<std::uint32_t>(before + name.size()),
                     static_cast<std::uint32_t>(value.size())});
}

void Headers::set(std::string_view name, std::string_view value) {
  if (!get(name)) {
    add(name, value);
    return;
  }
  std::string kept_name(name);
  std::string kept_value(value);
  remove(kept_name);
  add(kept_name, kept_value);
}

void Headers::remove(std::string_view name) {
  std::erase_if(fields_, [&](const Span& span) {
    return same_name(std::string_view(text_).substr(span.name_at, span.name_size), name);
  });
  if (fields_.empty()) text_.clear();
}

std::optional<std::string_view> Headers::get(std::string_view name) const {
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    if (auto field = (*this)[i]; same_name(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::size_t Headers::count(std::string_view name) const {
  std::size_t found = 0;
  for (std::size_t i = 0; i < fields_.size(); ++i) found += same_name((*this)[i].name, name);
  return found;
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    auto field = (*this)[i];
    if (!same_name(field.name, name)) continue;
    if (any_token(field.value, [&](std::string_view each) { return iequals(each, token); })) {
      return true;
    }
  }
  return false;
}

void Headers::clear() {
  text_.clear();
  fields_.clear();
}

Headers::Field Headers::operator[](std::size_t index) const {
  const Span& span = fields_[index];
  std::string_view text(text_);
  return {text.substr(span.name_at, span.name_size), text.substr(span.value_at, span.value_size)};
}

}  // namespace corral::net
