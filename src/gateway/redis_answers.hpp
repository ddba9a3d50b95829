// Kept answers in Redis, shared by all Corral processes that use the same server and database.
//
// A key is the hash of the request, so nothing of a prompt stands in it; the value is the answer.
// Who shares a database must mean the same by the same names of routes, endpoints and models. While
// Redis is away, each process has what it keeps itself: that is logged once, and counted.
// Thread rule: `find` and `keep` on serving shards, the rest on the control shard. Lifecycle:
// construct, `start()`, use, `co_await stop()` once no request is under way.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "gateway/answer_store.hpp"
#include "gateway/kept_form.hpp"
#include "net/shard.hpp"
#include "store/redis_client.hpp"
#include "sys/clock.hpp"
#include "telemetry/log.hpp"
#include "telemetry/metrics.hpp"

namespace corral::gateway {

class RedisAnswers final : public SharedAnswers {
 public:
  // The largest answer that is shared; its value in Redis has some bytes more.
  static constexpr std::size_t kLargest = 4u << 20;

  RedisAnswers(net::Shards& shards, store::RedisOptions options, telemetry::Metrics& metrics,
               telemetry::Logger log, const sys::Clock& clock);

  void start();
  net::Task<void> stop();

  net::Task<std::optional<Found>> find(AnswerKey key) override;
  net::Task<void> keep(AnswerKey key, KeptAnswerPtr answer, std::chrono::milliseconds ttl) override;

 private:
  store::RedisClient& mine() const { return *clients_[net::Shard::current()->index()]; }
  void connected();
  void failed(const Error& why);
  void refused(const std::string& why);
  std::size_t running() const;

  net::Shards& shards_;
  telemetry::Logger log_;
  const sys::Clock& clock_;
  std::string where_;
  std::vector<std::unique_ptr<store::RedisClient>> clients_;  // by serving shard
  std::atomic<bool> down_{false};                             // and that was said
  std::atomic<bool> refusing_{false};                         // the same
  telemetry::Counter hits_, misses_, errors_;
  telemetry::Gauge connections_;
};

}  // namespace corral::gateway
