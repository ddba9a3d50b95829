#include <limits>

#include "base/text.hpp"
#include "net/http_framing.hpp"
#include "net/http_parser.hpp"
#include "net/http_server.hpp"

namespace corral::net {
namespace {

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

}  // namespace

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
      error = broken_rule();
    }

    void on_request_impl(http::verb, BeastView method, BeastView target, int version,
                         BeastError& error) override {
      if (!valid_method(beast_text(method))) return refuse(400, "the method is malformed", error);
      if (!valid_target(beast_text(method), beast_text(target))) {
        return refuse(400, "the request target is malformed", error);
      }
      owner.request.method.assign(method.data(), method.size());
      owner.request.target.assign(target.data(), target.size());
      owner.http_1_0 = version == 10;
    }

    void on_field_impl(http::field name, BeastView name_text, BeastView value_text,
                       BeastError& error) override {
      if (owner.head_done) return;  // trailers are not headers
      auto value = beast_text(value_text);
      if (!lies_in(value, owner.input)) return refuse(400, "a folded header field", error);
      auto reason = owner.framing.take(name, value, owner.limits);
      if (!reason.empty()) {
        bool crowd = owner.framing.fields > owner.limits.fields;
        return refuse(crowd ? 431 : 400, reason, error);
      }
      if (name == http::field::expect) owner.expects_continue = iequals(value, "100-continue");
      owner.request.headers.add(beast_text(name_text), value);
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
    impl.failure = failure_of(error);
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

}  // namespace corral::net
