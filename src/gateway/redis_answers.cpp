#include "gateway/redis_answers.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace corral::gateway {
namespace {

using store::RedisReply;

std::string key_text(const AnswerKey& key) {
  std::string text = "corral:answer:1:";
  for (auto byte : key) text += fmt::format("{:02x}", byte);
  return text;
}

std::function<bool()> cancel_it(store::RedisClient* client) {
  return [client] {
    client->cancel();
    return true;
  };
}

}  // namespace

RedisAnswers::RedisAnswers(net::Shards& shards, store::RedisOptions options,
                           telemetry::Metrics& metrics, telemetry::Logger log,
                           const sys::Clock& clock)
    : shards_(shards),
      log_(std::move(log)),
      clock_(clock),
      where_(options.url.display()),
      hits_(metrics.counter("corral_shared_cache_hits_total",
                            "Answers found in the cache that processes share.")),
      misses_(
          metrics.counter("corral_shared_cache_misses_total", "Answers looked for there in vain.")),
      errors_(metrics.counter("corral_shared_cache_errors_total",
                              "Looks and stores there that failed, or found it away.")),
      connections_(metrics.gauge("corral_shared_cache_connections",
                                 "Connections to the cache that processes share.")) {
  for (std::size_t i = 0; i < shards.serving_count(); ++i) {
    auto up = std::make_shared<bool>(false);  // of the shard
    store::RedisEvents events;
    events.connected = [this, up] {
      *up = true;
      connected();
    };
    events.failed = [this, up](const Error& why) {
      if (std::exchange(*up, false)) connections_.sub();
      failed(why);
    };
    clients_.push_back(
        std::make_unique<store::RedisClient>(shards.serving(i), options, std::move(events)));
  }
}

void RedisAnswers::start() {
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    shards_.serving(i).post([client = clients_[i].get()] { client->start(); });
  }
}

std::size_t RedisAnswers::running() const {
  std::size_t sum = 0;
  for (const auto& client : clients_) sum += client->running();
  return sum;
}

net::Task<void> RedisAnswers::stop() {
  do {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      co_await net::call_on<bool>(shards_.serving(i), cancel_it(clients_[i].get()));
    }
    (void)co_await net::sleep_for(std::chrono::milliseconds(2));
  } while (running() > 0);
}

void RedisAnswers::connected() {
  connections_.add();
  if (down_.exchange(false)) log_.info("answers are shared again", {{"redis", where_}});
}

void RedisAnswers::failed(const Error& why) {
  if (down_.exchange(true)) return;
  log_.warn("Redis cannot be reached; answers are not shared until it can",
            {{"redis", where_}, {"error", why.describe()}, {"cause", why.cause}});
}

void RedisAnswers::refused(const std::string& why) {
  errors_.add();
  if (refusing_.exchange(true)) return;
  log_.warn("Redis refuses to find or keep answers", {{"redis", where_}, {"error", why}});
}

net::Task<std::optional<SharedAnswers::Found>> RedisAnswers::find(AnswerKey key) {
  auto reply = co_await mine().call({"GET", key_text(key)});
  if (!reply) {
    errors_.add();
    co_return std::nullopt;
  }
  if (reply->kind == RedisReply::Kind::error) {
    refused(reply->text);
    co_return std::nullopt;
  }
  // What another release wrote, or somebody else, is as good as nothing.
  auto unpacked = reply->kind == RedisReply::Kind::text ? unpack_answer(reply->text) : std::nullopt;
  if (!unpacked) {
    misses_.add();
    co_return std::nullopt;
  }
  hits_.add();
  auto age = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall() - unpacked->made);
  Found found;
  found.answer = std::make_shared<const KeptAnswer>(std::move(unpacked->answer));
  found.age = std::max(age, age.zero());  // clocks of machines differ
  co_return found;
}

net::Task<void> RedisAnswers::keep(AnswerKey key, KeptAnswerPtr answer,
                                   std::chrono::milliseconds ttl) {
  if (answer->body.size() > kLargest) co_return;
  std::vector<std::string> words{"SET", key_text(key), pack_answer(*answer, clock_.wall()), "PX",
                                 fmt::format("{}", ttl.count())};
  auto reply = co_await mine().call(std::move(words));
  if (!reply) {
    errors_.add();
  } else if (reply->kind == RedisReply::Kind::error) {
    refused(reply->text);
  } else {
    refusing_ = false;
  }
}

}  // namespace corral::gateway
