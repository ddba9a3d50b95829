#include <cstring>

#include "net/http_framing.hpp"
#include "net/http_parser.hpp"

namespace corral::net {

struct ResponseParser::Impl {
  struct Beast final : http::basic_parser<false> {
    Impl& owner;
    Beast(Impl& impl, bool no_body) : owner(impl) {
      eager(true);
      skip(no_body);
      header_limit(static_cast<std::uint32_t>(impl.limits.head_bytes));
      body_limit(boost::none);  // the reader's business
    }

    void refuse(std::string_view why, BeastError& error) {
      owner.reason = why;
      owner.failed = true;
      error = broken_rule();
    }

    void on_response_impl(int code, BeastView, int version, BeastError& error) override {
      if (code < 100 || code > 599) return refuse("the status is out of range", error);
      owner.status = code;
      owner.http_1_0 = version == 10;
    }

    void on_field_impl(http::field name, BeastView name_text, BeastView value_text,
                       BeastError& error) override {
      if (owner.head_done) return;
      auto value = beast_text(value_text);
      if (!lies_in(value, owner.input)) return refuse("a folded header field", error);
      auto why = name == http::field::host ? std::string_view()
                                           : owner.framing.take(name, value, owner.limits);
      if (!why.empty()) return refuse(why, error);
      owner.headers.add(beast_text(name_text), value);
    }

    void on_header_impl(BeastError& error) override {
      if (auto why = owner.framing.check(owner.http_1_0); !why.empty()) return refuse(why, error);
      owner.keep_alive = keep_alive();
      owner.head_done = true;
    }

    void on_body_init_impl(const boost::optional<std::uint64_t>&, BeastError&) override {}
    std::size_t on_body_impl(BeastView part, BeastError&) override {
      owner.append(part);
      return part.size();
    }
    void on_chunk_header_impl(std::uint64_t size, BeastView, BeastError&) override {
      owner.chunk_left = size;
    }
    std::size_t on_chunk_body_impl(std::uint64_t, BeastView part, BeastError&) override {
      owner.append(part);
      owner.chunk_left -= part.size();
      return part.size();
    }
    void on_finish_impl(BeastError&) override {}
    void on_request_impl(http::verb, BeastView, BeastView, int, BeastError&) override {}
  };

  Impl(Headers& to, ParseLimits most) : headers(to), limits(most) {}

  // The first part stays where it is; later ones close up to it, over framing already read.
  void append(BeastView part) {
    char* at = input.data() + (part.data() - input.data());
    if (body_size == 0) {
      body_begin = at;
    } else if (body_begin + body_size != at) {
      std::memmove(body_begin + body_size, at, part.size());
    }
    body_size += part.size();
  }

  Headers& headers;
  ParseLimits limits;
  Framing framing;
  std::string_view reason;
  struct Input {
    char* at = nullptr;
    std::size_t size = 0;
    char* data() const { return at; }
    operator std::string_view() const { return {at, size}; }
  } input;
  char* body_begin = nullptr;
  std::size_t body_size = 0;
  std::uint64_t chunk_left = 0;  // of the chunk under way
  std::size_t head_bytes = 0;
  int status = 0;
  bool http_1_0 = false;
  bool keep_alive = false;
  bool head_done = false;
  bool failed = false;
  std::optional<Beast> beast;
};

ResponseParser::ResponseParser(Headers& headers, ParseLimits limits)
    : impl_(std::make_unique<Impl>(headers, limits)) {
  reset(false);
}
ResponseParser::~ResponseParser() = default;

void ResponseParser::reset(bool no_body) {
  Impl& impl = *impl_;
  impl.framing = {};
  impl.reason = {};
  impl.body_begin = nullptr;
  impl.body_size = impl.head_bytes = 0;
  impl.chunk_left = 0;
  impl.status = 0;
  impl.http_1_0 = impl.keep_alive = impl.head_done = impl.failed = false;
  impl.headers.clear();
  impl.beast.emplace(impl, no_body);
}

std::size_t ResponseParser::feed(std::span<char> input) {
  Impl& impl = *impl_;
  impl.body_size = 0;
  if (impl.failed || impl.beast->is_done() || input.empty()) return 0;
  if (impl.head_done && awaits_chunk(*impl.beast, impl.chunk_left, input.size())) return 0;
  bool in_head = !impl.head_done;
  impl.input = {input.data(), input.size()};
  BeastError error;
  std::size_t used = impl.beast->put(boost::asio::const_buffer(input.data(), input.size()), error);
  impl.input = {};
  if (impl.failed) return used;
  if (error && error != http::error::need_more) {
    impl.failed = true;
    impl.reason = failure_of(error).reason;
    return used;
  }
  std::size_t rest = input.size() - used;
  if (!impl.head_done) {
    impl.head_bytes += used;
    if (impl.head_bytes + rest > impl.limits.head_bytes) {
      impl.failed = true;
      impl.reason = "the head is too large";
    }
  } else if (!in_head && rest > impl.limits.framing_bytes && !done()) {
    impl.failed = true;
    impl.reason = "a chunk header is too long";
  }
  return used;
}

void ResponseParser::end_of_input() {
  Impl& impl = *impl_;
  impl.body_size = 0;
  if (impl.failed || done()) return;
  BeastError error;
  if (impl.head_done) impl.beast->put_eof(error);
  if (error || !impl.head_done) {
    impl.failed = true;
    impl.reason = "it was cut short";
  }
}

std::string_view ResponseParser::body() const { return {impl_->body_begin, impl_->body_size}; }
bool ResponseParser::started() const { return impl_->beast->got_some(); }
bool ResponseParser::head_done() const { return impl_->head_done; }
bool ResponseParser::done() const {
  return impl_->beast->is_done() && impl_->head_done && !impl_->failed;
}
bool ResponseParser::failed() const { return impl_->failed; }
std::string_view ResponseParser::reason() const { return impl_->reason; }
int ResponseParser::status() const { return impl_->status; }
bool ResponseParser::keep_alive() const { return impl_->keep_alive; }

}  // namespace corral::net
