#include "api/openai/cached_answers.hpp"

#include <fmt/core.h>

#include <utility>

#include "api/errors.hpp"
#include "api/openai/flight_exchange.hpp"
#include "api/openai/relay.hpp"

namespace corral::api::openai {
namespace {

using gateway::AnswerReader;
using gateway::CacheUse;

std::string_view to_string(CacheUse use) {
  switch (use) {
    case CacheUse::hit: return "hit";
    case CacheUse::miss: return "miss";
    case CacheUse::joined: return "joined";
  }
  return "miss";
}

void say_use(net::HttpExchange& exchange, CacheUse use,
             std::optional<std::chrono::nanoseconds> age) {
  auto& headers = exchange.extra_headers();
  headers.set("x-corral-cache", to_string(use));
  if (!age) return;
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*age).count();
  headers.set("age", fmt::format("{}", seconds));
}

net::Task<void> reply_kept(net::HttpExchange& exchange, const gateway::KeptAnswer& answer,
                           CachePlan plan) {
  if (!plan.stream) {
    net::HttpReply reply;
    reply.content_type = answer.content_type;
    reply.body = answer.body;
    (void)co_await exchange.reply(std::move(reply));
    co_return;
  }
  if (!begin_stream(exchange)) co_return;
  std::string_view parts[] = {answer.body};
  auto sent = co_await exchange.send(parts);
  if (sent) (void)co_await exchange.finish();
}

Error broke_off() {
  return fail(ErrorCode::unavailable, "the answer broke off before it was complete")
      .hint("try again")
      .after(std::chrono::seconds(1));
}

// Passes what a reader reads on to its client.
class PassOn {
 public:
  PassOn(net::HttpExchange& exchange, const gateway::AnswerStore& store)
      : exchange_(exchange), store_(store) {}

  // False: the client left.
  net::Task<bool> piece(gateway::AnswerPiecePtr piece, CacheUse use) {
    if (piece->head) {
      head_ = piece->head;
      note_head(use);
    }
    if (head_->document) {
      whole_ = std::move(piece);  // sent at the end, when all is known about it
      co_return true;
    }
    Result<void> sent;
    if (piece->head) sent = exchange_.begin(head_->status, head_->content_type);
    if (sent && piece->bytes.empty()) sent = co_await exchange_.flush_head();
    std::string_view parts[] = {piece->bytes};
    if (sent && !piece->bytes.empty()) sent = co_await exchange_.send(parts);
    co_return sent.has_value();
  }

  net::Task<void> complete() {
    if (head_ == nullptr) co_return co_await fail_off();
    if (whole_ == nullptr) {
      (void)co_await exchange_.finish();
      co_return;
    }
    net::HttpReply reply;
    reply.status = head_->status;
    reply.content_type = head_->content_type;
    reply.compressible = head_->compressible;
    reply.body = whole_->bytes;
    (void)co_await exchange_.reply(std::move(reply));
  }

  net::Task<void> fail_off() {
    if (exchange_.begun()) {
      exchange_.abort();
    } else {
      (void)co_await exchange_.reply(openai_error(broke_off()));
    }
  }

 private:
  void note_head(CacheUse use) {
    if (head_->age) use = CacheUse::hit;
    store_.count(use);
    auto& headers = exchange_.extra_headers();
    for (std::size_t i = 0; i < head_->headers.size(); ++i) {
      headers.set(head_->headers[i].name, head_->headers[i].value);
    }
    say_use(exchange_, use, head_->age);
  }

  net::HttpExchange& exchange_;
  const gateway::AnswerStore& store_;
  std::shared_ptr<const gateway::AnswerHead> head_;
  gateway::AnswerPiecePtr whole_;
};

}  // namespace

// One answer being made, and the task that makes it.
struct CachedAnswers::Making {
  Making(const Call& asked, const Order& wanted, CachePlan planned,
         std::unique_ptr<gateway::AnswerMaker> made_by, std::size_t most_kept)
      : group(*net::Shard::current()),
        maker(std::move(made_by)),
        plan(std::move(planned)),
        order(wanted),
        exchange(asked.request(), wanted.request.body, *maker, most_kept),
        call{exchange, asked.parameter, {}},
        over(net::Wakeup::create()) {
    order.request.body = exchange.body();
    call.notes.operation = asked.notes.operation;
  }

  net::TaskGroup group;
  std::unique_ptr<gateway::AnswerMaker> maker;
  CachePlan plan;
  Order order;
  FlightExchange exchange;
  Call call;
  std::shared_ptr<net::Wakeup> over;  // made, or nobody wants it any more
};

CachedAnswers::CachedAnswers(net::Shards& shards, gateway::AnswerStore& store, MakeAnswer make)
    : store_(store), make_(std::move(make)) {
  for (std::size_t i = 0; i < shards.serving_count(); ++i) {
    shards_.push_back(&shards.serving(i));
    groups_.push_back(std::make_unique<net::TaskGroup>(*shards_.back()));
  }
}

CachedAnswers::~CachedAnswers() = default;

net::Task<void> CachedAnswers::stop() {
  auto running = [this] {
    std::size_t sum = 0;
    for (const auto& group : groups_) sum += group->running();
    return sum;
  };
  while (running() > 0) {
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      // Not posted and left there: the group might be gone by then.
      co_await net::cancel_on(*shards_[i], *groups_[i]);
    }
    (void)co_await net::sleep_for(std::chrono::milliseconds(2));
  }
}

std::shared_ptr<CachedAnswers::Making> CachedAnswers::start(
    Call& call, const Order& order, const CachePlan& plan,
    std::unique_ptr<gateway::AnswerMaker> maker) {
  auto making = std::make_shared<Making>(call, order, plan, std::move(maker), store_.largest());
  auto& group = *groups_[net::Shard::current()->index()];
  making->maker->on_nobody_left([over = making->over] { over->notify(); });
  // `tend` comes last: once it runs, it may find that all is over.
  making->group.spawn(make(making));
  group.spawn(tend(making));
  return making;
}

// Waits for the end and cancels what still runs then, so that the task never outlives its Making.
net::Task<void> CachedAnswers::tend(std::shared_ptr<Making> making) {
  (void)co_await making->over->wait();
  co_await making->group.close();
}

net::Task<void> CachedAnswers::make(std::shared_ptr<Making> making) {
  auto& exchange = making->exchange;
  const auto& plan = making->plan;
  std::optional<gateway::AnswerCache::Found> found;
  // Kept since the first look, or by another process.
  if (!plan.fresh) found = co_await store_.find_anywhere(plan.key, plan.ttl);
  if (found) {
    exchange.set_age(found->age);
    making->call.notes.model = plan.route;
    co_await reply_kept(exchange, *found->answer, plan);
    making->maker->end(gateway::FlightGroup::Ending::complete);
  } else {
    co_await make_(making->call, making->order);
    auto kept = exchange.kept();
    // Before the end is told: who comes then finds it.
    if (kept) store_.keep(plan.key, kept, plan.ttl);
    making->maker->end(exchange.finished() ? gateway::FlightGroup::Ending::complete
                                           : gateway::FlightGroup::Ending::failed);
    if (kept) co_await store_.share(plan.key, std::move(kept), plan.ttl);
  }
  making->over->notify();
}

net::Task<void> CachedAnswers::answer(Call& call, Order order, CachePlan plan) {
  auto& exchange = call.exchange;
  call.notes.model = plan.route;
  if (auto found = plan.fresh ? std::nullopt : store_.find(plan.key)) {
    store_.count(CacheUse::hit);
    say_use(exchange, CacheUse::hit, found->age);
    co_await reply_kept(exchange, *found->answer, plan);
    co_return;
  }
  auto seat = store_.join(plan.flight);
  std::shared_ptr<Making> making;  // where this one leads
  if (seat.maker) making = start(call, order, plan, std::move(seat.maker));
  PassOn pass_on(exchange, store_);
  for (bool listening = true; listening;) {
    auto next = co_await seat.reader->next();
    if (next.kind == AnswerReader::Kind::lead) {
      making = start(call, order, plan, std::move(next.maker));
      continue;
    }
    CacheUse use = making ? CacheUse::miss : CacheUse::joined;
    if (making && !making->call.notes.model.empty()) call.notes = making->call.notes;
    switch (next.kind) {
      case AnswerReader::Kind::piece:
        listening = co_await pass_on.piece(std::move(next.piece), use);
        continue;
      case AnswerReader::Kind::complete: co_await pass_on.complete(); break;
      case AnswerReader::Kind::failed:
      case AnswerReader::Kind::cut: co_await pass_on.fail_off(); break;
      case AnswerReader::Kind::lead:
      case AnswerReader::Kind::left: break;
    }
    co_return;
  }
}

}  // namespace corral::api::openai
