#include "net/http_parser.hpp"

#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cstring>
#include <limits>

#include "base/text.hpp"
#include "net/http_server.hpp"

namespace corral::net {
namespace http = boost::beast::http;
using BeastError = boost::beast::error_code;
using BeastView = boost::beast::string_view;

namespace {

std::string_view view(BeastView text) { return {text.data(), text.size()}; }

bool all_digits(std::string_view text) {
  return !text.empty() && text.size() <= 19 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// By byte, whether it may be in a token (RFC 9110, 5.6.2).
constexpr auto kTokenChars = [] {
  std::array<unsigned char, 256> allowed{};
  for (char c = 'a'; c <= 'z'; ++c) allowed[static_cast<unsigned char>(c)] = 1;
  for (char c = 'A'; c <= 'Z'; ++c) allowed[static_cast<unsigned char>(c)] = 1;
  for (char c = '0'; c <= '9'; ++c) allowed[static_cast<unsigned char>(c)] = 1;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) allowed[static_cast<unsigned char>(c)] = 1;
  return allowed;
}();

bool valid_host(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':' || c == '[' || c == ']';
  });
}

bool valid_method(std::string_view method) {
  return method.size() <= 32 && std::all_of(method.begin(), method.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
         });
}

bool valid_target(std::string_view method, std::string_view target) {
  if (target == "*") return method == "OPTIONS";
  return target.starts_with('/') && std::all_of(target.begin(), target.end(), [](char c) {
           return c > ' ' && c < 0x7f && c != '#' && c != '\\';
         });
}

// What both parsers count while the fields pass.
struct Framing {
  int hosts = 0;
  int lengths = 0;
  int codings = 0;
  bool coding_is_chunked = false;
  std::size_t fields = 0;

  // Empty, or why the field is refused.
  std::string_view take(http::field name, std::string_view value, const ParseLimits& limits) {
    if (++fields > limits.fields) return "too many header fields";
    switch (name) {
      case http::field::host:
        ++hosts;
        if (!valid_host(value)) return "the Host header is malformed";
        break;
      case http::field::content_length:
        if (++lengths > 1) return "several Content-Length headers";
        if (!all_digits(value)) return "Content-Length is not a number";
        break;
      case http::field::transfer_encoding:
        if (++codings > 1) return "several Transfer-Encoding headers";
        coding_is_chunked = iequals(value, "chunked");
        break;
      default: break;
    }
    return {};
  }

  // Rules about the head as a whole.
  std::string_view check(bool http_1_0) const {
    if (codings > 0 && lengths > 0) return "Transfer-Encoding together with Content-Length";
    if (codings > 0 && http_1_0) return "Transfer-Encoding in HTTP/1.0";
    if (codings > 0 && !coding_is_chunked) return "a Transfer-Encoding other than chunked";
    return {};
  }
};

// A field that was folded over several lines does not lie in the input any more.
bool lies_in(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

BeastError stop() { return http::make_error_code(http::error::bad_field); }

// Between two chunks a sound message has five more bytes at least ("0 CR LF CR LF"). Beast 1.81
// asserts that it gets so many when it looks at a last chunk for the second time.
template <class Beast>
bool awaits_chunk(const Beast& parser, std::uint64_t chunk_left, std::size_t bytes) {
  return bytes < 5 && chunk_left == 0 && parser.chunked();
}

ParseFailure describe(const BeastError& error) {
  if (error == http::error::header_limit) return {431, "the request head is too large"};
  if (error == http::error::body_limit) return {413, "the body is too large"};
  if (error == http::error::bad_version) return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  if (error == http::error::bad_method) return {400, "the method is malformed"};
  if (error == http::error::bad_target) return {400, "the request target is malformed"};
  if (error == http::error::bad_content_length) return {400, "Content-Length is malformed"};
  if (error == http::error::multiple_content_length) return {400, "several Content-Length headers"};
  if (error == http::error::bad_transfer_encoding) return {400, "Transfer-Encoding is malformed"};
  if (error == http::error::bad_chunk) return {400, "a chunk is malformed"};
  if (error == http::error::bad_chunk_extension) return {400, "a chunk extension is malformed"};
  if (error == http::error::bad_line_ending) return {400, "a line does not end with CR LF"};
  if (error == http::error::partial_message) return {400, "the message was cut short"};
  return {400, "a header field is malformed"};
}

}  // namespace

// Both look at everything, since good ones are the rule and a loop without a way out is faster.
bool valid_field_value(std::string_view value) {
  unsigned bad = 0;
  for (char c : value) {
    auto byte = static_cast<unsigned char>(c);
    bad |= static_cast<unsigned>(byte < 0x20) & static_cast<unsigned>(byte != '\t');
    bad |= static_cast<unsigned>(byte == 0x7f);
  }
  return bad == 0;
}

bool valid_token(std::string_view name) {
  unsigned good = 1;
  for (char c : name) good &= kTokenChars[static_cast<unsigned char>(c)];
  return !name.empty() && good != 0;
}

bool is_connection_field(std::string_view name) {
  switch (name.size()) {
    case 2: return iequals(name, "te");
    case 7: return iequals(name, "trailer") || iequals(name, "upgrade");
    case 10: return iequals(name, "connection") || iequals(name, "keep-alive");
    case 14: return iequals(name, "content-length");
    case 16: return iequals(name, "proxy-connection");
    case 17: return iequals(name, "transfer-encoding");
    default: return false;
  }
}

// --- requests ------------------------------------------------------------------------------------

struct RequestParser::Impl {
  // Beast's parser is good for one message; it is made anew in the same memory for the next.
  struct Beast final : http::basic_parser<true> {
    Impl& owner;
    explicit Beast(Impl& impl) : owner(impl) {
      eager(true);
      header_limit(static_cast<std::uint32_t>(impl.limits.head_bytes));
      body_limit(boost::none);  // counted below, where the limit may still change
    }

    void refuse(int status, std::string_view reason, BeastError& error) {
      owner.failure = {status, reason};
      owner.failed = true;
      error = stop();
    }

    void on_request_impl(http::verb, BeastView method, BeastView target, int version,
                         BeastError& error) override {
      if (!valid_method(view(method))) return refuse(400, "the method is malformed", error);
      if (!valid_target(view(method), view(target))) {
        return refuse(400, "the request target is malformed", error);
      }
      owner.request.method.assign(method.data(), method.size());
      owner.request.target.assign(target.data(), target.size());
      owner.http_1_0 = version == 10;
    }

    void on_field_impl(http::field name, BeastView name_text, BeastView value_text,
                       BeastError& error) override {
      if (owner.head_done) return;  // trailers are not headers
      auto value = view(value_text);
      if (!lies_in(value, owner.input)) return refuse(400, "a folded header field", error);
      auto reason = owner.framing.take(name, value, owner.limits);
      if (!reason.empty()) {
        bool crowd = owner.framing.fields > owner.limits.fields;
        return refuse(crowd ? 431 : 400, reason, error);
      }
      if (name == http::field::expect) owner.expects_continue = iequals(value, "100-continue");
      owner.request.headers.add(view(name_text), value);
    }

    void on_header_impl(BeastError& error) override {
      const Framing& rules = owner.framing;
      if (rules.hosts != 1) {
        return refuse(400, rules.hosts == 0 ? "the Host header is missing" : "several Host headers",
                      error);
      }
      if (auto why = rules.check(owner.http_1_0); !why.empty()) {
        bool unknown = rules.lengths == 0 && !owner.http_1_0;
        return refuse(unknown ? 501 : 400, why, error);
      }
      HttpRequest& message = owner.request;
      std::string_view target = message.target;
      auto question = target.find('?');
      message.path = target.substr(0, question);
      message.query =
          question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
      owner.keep_alive = keep_alive();
      if (auto length = content_length()) owner.content_length = *length;
      owner.head_done = true;
      if (owner.http_1_0) owner.expects_continue = false;
    }

    void on_body_init_impl(const boost::optional<std::uint64_t>&, BeastError&) override {}

    std::size_t on_body_impl(BeastView part, BeastError& error) override {
      if (owner.body.size() + part.size() > owner.body_limit) {
        owner.too_large = true;
        refuse(413, "the body is too large", error);
        return 0;
      }
      owner.body.append(part.data(), part.size());
      return part.size();
    }

    void on_chunk_header_impl(std::uint64_t size, BeastView, BeastError&) override {
      owner.chunk_left = size;
    }
    std::size_t on_chunk_body_impl(std::uint64_t, BeastView part, BeastError& error) override {
      std::size_t taken = on_body_impl(part, error);
      owner.chunk_left -= taken;
      return taken;
    }
    void on_finish_impl(BeastError&) override {}
    void on_response_impl(int, BeastView, int, BeastError&) override {}
  };

  Impl(HttpRequest& to, std::string& bytes, ParseLimits most)
      : request(to), body(bytes), limits(most) {}

  HttpRequest& request;
  std::string& body;
  ParseLimits limits;
  Framing framing;
  ParseFailure failure;
  std::string_view input;  // of the feed() under way
  std::optional<std::uint64_t> content_length;
  std::uint64_t body_limit = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t chunk_left = 0;  // of the chunk under way
  std::size_t head_bytes = 0;
  bool http_1_0 = false;
  bool keep_alive = false;
  bool expects_continue = false;
  bool head_done = false;
  bool failed = false;
  bool too_large = false;
  std::optional<Beast> beast;
};

RequestParser::RequestParser(HttpRequest& request, std::string& body, ParseLimits limits)
    : impl_(std::make_unique<Impl>(request, body, limits)) {
  reset();
}
RequestParser::~RequestParser() = default;

void RequestParser::reset() {
  Impl& impl = *impl_;
  impl.framing = {};
  impl.failure = {};
  impl.content_length.reset();
  impl.body_limit = std::numeric_limits<std::uint64_t>::max();
  impl.chunk_left = 0;
  impl.head_bytes = 0;
  impl.http_1_0 = impl.keep_alive = impl.expects_continue = false;
  impl.head_done = impl.failed = impl.too_large = false;
  impl.request.headers.clear();
  impl.request.method.clear();
  impl.request.target.clear();
  impl.request.path = impl.request.query = {};
  impl.beast.emplace(impl);
}

std::size_t RequestParser::feed(std::string_view input) {
  Impl& impl = *impl_;
  if (impl.failed || impl.beast->is_done() || input.empty()) return 0;
  if (impl.head_done && awaits_chunk(*impl.beast, impl.chunk_left, input.size())) return 0;
  bool in_head = !impl.head_done;
  impl.input = input;
  BeastError error;
  std::size_t used = impl.beast->put(boost::asio::const_buffer(input.data(), input.size()), error);
  impl.input = {};
  if (impl.failed) return used;  // by one of the rules above
  if (error && error != http::error::need_more) {
    impl.failed = true;
    impl.failure = describe(error);
    return used;
  }
  if (!impl.head_done) {
    impl.head_bytes += used;
    if (impl.head_bytes + (input.size() - used) > impl.limits.head_bytes) {
      impl.failed = true;
      impl.failure = {431, "the request head is too large"};
    }
  } else if (!in_head && input.size() - used > impl.limits.framing_bytes && !done()) {
    impl.failed = true;
    impl.failure = {400, "a chunk header is too long"};
  }
  return used;
}

void RequestParser::set_body_limit(std::uint64_t limit) {
  impl_->body_limit = limit;
  if (impl_->body.size() <= limit) return;
  impl_->failed = impl_->too_large = true;
  impl_->failure = {413, "the body is too large"};
}

bool RequestParser::started() const { return impl_->beast->got_some(); }
bool RequestParser::head_done() const { return impl_->head_done; }
bool RequestParser::done() const {
  return impl_->beast->is_done() && impl_->head_done && !impl_->failed;
}
bool RequestParser::failed() const { return impl_->failed; }
bool RequestParser::too_large() const { return impl_->too_large; }
const ParseFailure& RequestParser::failure() const { return impl_->failure; }
bool RequestParser::keep_alive() const { return impl_->keep_alive; }
bool RequestParser::http_1_0() const { return impl_->http_1_0; }
bool RequestParser::expects_continue() const { return impl_->expects_continue; }
std::optional<std::uint64_t> RequestParser::content_length() const { return impl_->content_length; }

// --- answers -------------------------------------------------------------------------------------

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
      error = stop();
    }

    void on_response_impl(int code, BeastView, int version, BeastError& error) override {
      if (code < 100 || code > 599) return refuse("the status is out of range", error);
      owner.status = code;
      owner.http_1_0 = version == 10;
    }

    void on_field_impl(http::field name, BeastView name_text, BeastView value_text,
                       BeastError& error) override {
      if (owner.head_done) return;
      auto value = view(value_text);
      if (!lies_in(value, owner.input)) return refuse("a folded header field", error);
      auto why = name == http::field::host ? std::string_view()
                                           : owner.framing.take(name, value, owner.limits);
      if (!why.empty()) return refuse(why, error);
      owner.headers.add(view(name_text), value);
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
    impl.reason = describe(error).reason;
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
