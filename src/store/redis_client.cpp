#include "store/redis_client.hpp"

#include <array>
#include <utility>

#include "sys/random.hpp"

namespace corral::store {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 16u << 10;

Error lost() { return fail(ErrorCode::unavailable, "the connection to Redis is lost"); }
Error away() { return fail(ErrorCode::unavailable, "there is no connection to Redis"); }
Error too_slow() { return fail(ErrorCode::timeout, "Redis did not answer in time"); }

double random_part() {
  std::array<unsigned char, 2> bytes{};
  sys::fill_random(bytes);
  return (bytes[0] * 256 + bytes[1]) / 65536.0;
}

net::HttpTarget target_of(const RedisUrl& url) {
  net::HttpTarget target;
  target.host = url.host;
  target.port = url.port;
  target.socket_path = url.socket_path;
  if (url.tls) target.scheme = net::HttpTarget::Scheme::https;
  if (!url.socket_path.empty()) target.scheme = net::HttpTarget::Scheme::unix_socket;
  return target;
}

// Redis' own words say no secret: they name commands and rights.
Result<void> accepted(const RedisReply& reply, const char* what) {
  if (reply.kind != RedisReply::Kind::error) return {};
  return fail(ErrorCode::unavailable, std::string("Redis refuses ") + what).because(reply.text);
}

}  // namespace

RedisClient::RedisClient(net::Shard& shard, RedisOptions options, RedisEvents events)
    : options_(std::move(options)),
      events_(std::move(events)),
      target_(target_of(options_.url)),
      pause_(options_.pause_min, options_.pause_max),
      tasks_(shard) {}

RedisClient::~RedisClient() = default;

void RedisClient::start() { tasks_.spawn(keep_connected()); }

void RedisClient::cancel() {
  stopping_ = true;
  tasks_.cancel();
  if (live_) live_->stream->close();
}

net::Task<void> RedisClient::keep_connected() {
  for (;;) {
    auto outcome = co_await connect_and_serve();
    if (stopping_ || outcome) co_return;
    if (events_.failed) events_.failed(outcome.error());
    auto slept = co_await net::sleep_for(pause_.failed(random_part()));
    if (!slept) co_return;
  }
}

// An error: why there is no connection any more.
net::Task<Result<void>> RedisClient::connect_and_serve() {
  if (options_.url.tls && target_.tls == nullptr) {
    CORRAL_CO_TRY(target_.tls, net::TlsContext::client({options_.url.ca_file}));
  }
  CORRAL_CO_TRY(auto stream, co_await dialer_.dial(target_, options_.connect_timeout));
  auto live = std::make_shared<Live>(std::move(stream), options_.limits);
  live_ = live;
  // The log-in waits for replies, which only read() brings.
  auto refused = std::make_shared<Result<void>>();
  tasks_.spawn(log_in_then(live, refused));
  auto outcome = co_await read(live);
  live->stream->close();
  live_ = nullptr;
  if (live->overdue) outcome = std::unexpected(too_slow());
  if (!*refused) outcome = *refused;
  live->ready = false;
  break_off(*live, outcome ? lost() : outcome.error());
  co_return outcome;
}

net::Task<void> RedisClient::log_in_then(LivePtr live, std::shared_ptr<Result<void>> outcome) {
  auto done = co_await log_in(live);
  if (!done) {
    *outcome = std::move(done);
    live->stream->close();
    co_return;
  }
  pause_.succeeded();
  live->ready = true;
  if (events_.connected) events_.connected();
}

net::Task<Result<void>> RedisClient::log_in(LivePtr live) {
  const auto& url = options_.url;
  if (!url.password.empty()) {
    std::vector<std::string> words{"AUTH", url.password};
    if (!url.user.empty()) words.insert(words.begin() + 1, url.user);
    CORRAL_CO_TRY(auto reply, co_await ask(live, std::move(words)));
    CORRAL_CO_CHECK(accepted(reply, "the user or the password"));
  }
  // Also shows whether a login is needed.
  std::vector<std::string> words{"SELECT", std::to_string(url.database)};
  CORRAL_CO_TRY(auto reply, co_await ask(live, std::move(words)));
  CORRAL_CO_CHECK(accepted(reply, "the database"));
  co_return Result<void>();
}

// Until the connection ends, which is an error unless we closed it.
net::Task<Result<void>> RedisClient::read(LivePtr live) {
  std::vector<char> buffer(kReadBytes);
  for (;;) {
    bool ready = co_await live->stream->wait(net::Direction::read);
    if (!ready && !live->stream->is_open()) co_return std::unexpected(lost());
    auto got = live->stream->try_read(buffer);
    if (got.status == net::IoStatus::would_block) {
      if (ready) continue;
      co_return std::unexpected(
          fail(ErrorCode::cancelled, "the connection is not needed any more"));
    }
    if (got.status != net::IoStatus::ok) co_return std::unexpected(lost());
    CORRAL_CO_TRY(auto answers, live->pipeline.feed(std::string_view(buffer.data(), got.bytes)));
    fulfil(*live, std::move(answers));
  }
}

void RedisClient::fulfil(Live& live, std::vector<RedisPipeline::Answer> answers) {
  for (auto& answer : answers) {
    auto slot = live.slots.extract(answer.whose);
    if (!slot.empty()) slot.mapped()->fulfil(std::move(answer.reply));
  }
}

void RedisClient::break_off(Live& live, const Error& why) {
  for (auto& [ticket, slot] : std::exchange(live.slots, {})) slot->fulfil(std::unexpected(why));
}

net::Task<Result<RedisReply>> RedisClient::call(std::vector<std::string> words) {
  if (!connected()) co_return std::unexpected(away());
  co_return co_await ask(live_, std::move(words));
}

net::Task<Result<RedisReply>> RedisClient::ask(LivePtr live, std::vector<std::string> words) {
  std::vector<std::string_view> views(words.begin(), words.end());
  CORRAL_CO_TRY(auto ticket, live->pipeline.ask(views, SteadyClock::now()));
  auto slot = Slot::create();
  live->slots.emplace(ticket, slot);
  flush(live);
  if (!std::exchange(live->watching, true)) tasks_.spawn(watch(live));
  auto reply = co_await slot->wait();
  if (reply) co_return std::move(*reply);
  live->slots.erase(ticket);
  co_return std::unexpected(fail(ErrorCode::cancelled, "the caller left"));
}

// Sends what the socket takes now; a task sends the rest.
void RedisClient::flush(const LivePtr& live) {
  if (live->writing) return;
  while (!live->pipeline.to_send().empty()) {
    auto unsent = live->pipeline.to_send();
    iovec part{const_cast<char*>(unsent.data()), unsent.size()};
    auto written = live->stream->try_write(std::span(&part, 1));
    if (written.status == net::IoStatus::would_block) {
      live->writing = true;
      tasks_.spawn(write_rest(live));
      return;
    }
    if (written.status != net::IoStatus::ok) {
      live->stream->close();  // read() learns of it
      return;
    }
    live->pipeline.sent(written.bytes);
  }
}

net::Task<void> RedisClient::write_rest(LivePtr live) {
  bool ready = co_await live->stream->wait(net::Direction::write);
  live->writing = false;
  if (ready) flush(live);
}

// Closes a connection whose oldest command has waited too long. Runs while any waits.
net::Task<void> RedisClient::watch(LivePtr live) {
  while (auto until = live->pipeline.overdue_at()) {
    auto now = SteadyClock::now();
    if (now >= *until) {
      live->overdue = true;
      live->stream->close();
      break;
    }
    auto slept = co_await net::sleep_for(*until - now);
    if (!slept) break;
  }
  live->watching = false;
}

}  // namespace corral::store
