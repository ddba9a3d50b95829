#include "api/openai/embedding_batcher.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "api/openai/cache_plan.hpp"
#include "api/openai/relay.hpp"
#include "config/config.hpp"
#include "gateway/answer_key.hpp"

namespace corral::api::openai {
namespace {

namespace wire = bindings::openai;
using gateway::EmbeddingBatch;
using SteadyClock = std::chrono::steady_clock;

// Perhaps for the sake of one of the inputs: then the others, sent alone, are answered.
bool may_be_one_input(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::too_large:
    case ErrorCode::unsupported:
    case ErrorCode::upstream:
    case ErrorCode::internal: return true;
    default: return false;
  }
}

}  // namespace

std::optional<gateway::AnswerKey> batch_key(const Order& order, wire::InputForm form,
                                            const gateway::ActiveRoute& route) {
  static constexpr std::string_view kInput[] = {"input"};
  auto rest = canonical_body(order.request.body, kInput);
  if (!rest) return std::nullopt;
  const auto& caller = order.caller;
  auto session = caller.session ? fmt::format("{}", *caller.session) : std::string();
  // Who asks decides where a request goes.
  bool sticky = route.settings().balance == config::Balance::sticky;
  auto principal = sticky ? fmt::format("{}", caller.principal) : std::string();
  return gateway::answer_key({"embeddings", route.name(), *rest,
                              form == wire::InputForm::text ? "text" : "tokens",
                              config::to_string(caller.priority), session, principal});
}

// What a member gets.
struct EmbeddingBatcher::Share {
  std::shared_ptr<const JointAnswer> joint;  // null: it is to go alone
  std::string document;
  std::uint64_t prompt_tokens = 0;
  std::size_t batch = 0;  // requests joined
};

// Those who wait for the same call; with the lock.
struct EmbeddingBatcher::Crew {
  std::size_t waiting = 0;
  std::shared_ptr<net::Wakeup> over;  // the call is done, or nobody waits for it
};

struct EmbeddingBatcher::Member {
  explicit Member(const Order& wanted) : order(wanted), body(wanted.request.body) {
    order.request.body = body;
    order.caller.attempts = nullptr;
    order.caller.on_wait = nullptr;
  }

  Order order;
  std::string body;
  wire::EmbeddingInputs inputs;  // within `body`
  gateway::AnswerKey key{};
  EmbeddingBatch::BatchId batch = 0;
  EmbeddingBatch::MemberId id = 0;
  std::shared_ptr<Crew> crew;  // once it was taken; with the lock
  std::shared_ptr<net::OneShot<Share>> share = net::OneShot<Share>::create();
};

// A call for several members, and the task that makes it.
struct EmbeddingBatcher::Joint {
  net::TaskGroup group{*net::Shard::current()};
  std::shared_ptr<net::Wakeup> over = net::Wakeup::create();
  std::vector<MemberPtr> members;
  std::string body;
};

// Counts a request that goes alone as under way.
class EmbeddingBatcher::UnderWay {
 public:
  UnderWay(EmbeddingBatcher& batcher, const gateway::AnswerKey& key)
      : batcher_(batcher), key_(key) {}
  UnderWay(const UnderWay&) = delete;
  ~UnderWay() { batcher_.ended(key_); }

 private:
  EmbeddingBatcher& batcher_;
  gateway::AnswerKey key_;
};

EmbeddingBatcher::EmbeddingBatcher(Parts parts, std::chrono::milliseconds window)
    : parts_(std::move(parts)),
      window_(window),
      batches_(parts_.metrics.counter("corral_embedding_batches_total",
                                      "Calls that were made for several requests.")),
      joined_(parts_.metrics.counter("corral_embedding_batched_requests_total",
                                     "Requests that were answered by such a call.")),
      core_({}, parts_.seed) {
  for (std::size_t i = 0; i < parts_.shards.serving_count(); ++i) {
    groups_.push_back(std::make_unique<net::TaskGroup>(parts_.shards.serving(i)));
  }
}

EmbeddingBatcher::~EmbeddingBatcher() = default;

net::Task<void> EmbeddingBatcher::stop() {
  auto running = [this] {
    return std::ranges::any_of(groups_, [](const auto& group) { return group->running() > 0; });
  };
  while (running()) {
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      co_await net::cancel_on(parts_.shards.serving(i), *groups_[i]);
    }
    (void)co_await net::sleep_for(std::chrono::milliseconds(2));
  }
}

EmbeddingBatcher::MemberPtr EmbeddingBatcher::member_of(const Order& order,
                                                        const gateway::ActiveRoute& route) {
  auto member = std::make_shared<Member>(order);
  auto inputs = wire::embedding_inputs(member->body);
  if (!inputs) return nullptr;
  auto key = batch_key(member->order, inputs->form, route);
  if (!key) return nullptr;
  member->inputs = std::move(*inputs);
  member->key = *key;
  return member;
}

net::Task<void> EmbeddingBatcher::answer(Call& call, Order& order,
                                         const gateway::ActiveRoute& route) {
  std::chrono::milliseconds window = window_;
  auto member = window.count() > 0 ? member_of(order, route) : nullptr;
  if (member == nullptr) {
    co_await parts_.alone(call, order);
    co_return;
  }
  EmbeddingBatch::Place place;
  JointPtr full;
  {
    std::lock_guard lock(mutex_);
    place = core_.offer(member->key, member->inputs.inputs.size(), member->inputs.bytes, window,
                        SteadyClock::now());
    if (place.verdict != EmbeddingBatch::Verdict::alone) {
      member->batch = place.batch;
      member->id = place.member;
      waiting_.emplace(place.member, member);
    }
    if (place.take_now) full = take(*place.take_now);
  }
  if (full) start(full);
  if (place.verdict == EmbeddingBatch::Verdict::alone) {
    UnderWay counted(*this, member->key);
    member = nullptr;
    co_await parts_.alone(call, order);
    co_return;
  }
  if (place.verdict == EmbeddingBatch::Verdict::opened) {
    groups_[net::Shard::current()->index()]->spawn(take_when_due(place.batch, place.due));
  }
  co_await wait_for_share(call, order, std::move(member));
}

net::Task<void> EmbeddingBatcher::wait_for_share(Call& call, Order& order, MemberPtr member) {
  auto share = co_await member->share->wait();
  if (!share) {
    leave(member);
  } else if (share->joint == nullptr) {
    co_await parts_.alone(call, order);
  } else {
    co_await deliver(call, *share);
  }
}

EmbeddingBatcher::JointPtr EmbeddingBatcher::take(EmbeddingBatch::BatchId batch) {
  auto ids = core_.take(batch);
  if (ids.empty()) return nullptr;
  auto joint = std::make_shared<Joint>();
  joint->members.reserve(ids.size());
  auto crew = std::make_shared<Crew>(Crew{ids.size(), joint->over});
  for (auto id : ids) {
    auto found = waiting_.extract(id);
    found.mapped()->crew = crew;
    joint->members.push_back(std::move(found.mapped()));
  }
  return joint;
}

void EmbeddingBatcher::start(const JointPtr& joint) {
  auto& group = *groups_[net::Shard::current()->index()];
  joint->group.spawn(run(joint));
  group.spawn(tend(joint));
}

net::Task<void> EmbeddingBatcher::take_when_due(EmbeddingBatch::BatchId batch,
                                                EmbeddingBatch::Time due) {
  (void)co_await net::sleep_for(due - SteadyClock::now());
  JointPtr joint;
  {
    std::lock_guard lock(mutex_);
    joint = take(batch);
  }
  if (joint) start(joint);
}

void EmbeddingBatcher::ended(const gateway::AnswerKey& key) {
  JointPtr next;
  {
    std::lock_guard lock(mutex_);
    if (auto batch = core_.ended(key)) next = take(*batch);
  }
  if (next) start(next);
}

void EmbeddingBatcher::leave(const MemberPtr& member) {
  std::shared_ptr<net::Wakeup> nobody_waits;
  {
    std::lock_guard lock(mutex_);
    if (member->crew == nullptr) {
      core_.leave(member->batch, member->id);
      waiting_.erase(member->id);
    } else if (--member->crew->waiting == 0) {
      nobody_waits = member->crew->over;
    }
  }
  if (nobody_waits) nobody_waits->notify();
}

// Waits for the end and cancels what still runs then, so that the task never outlives its Joint.
net::Task<void> EmbeddingBatcher::tend(JointPtr joint) {
  (void)co_await joint->over->wait();
  co_await joint->group.close();
}

net::Task<void> EmbeddingBatcher::run(JointPtr joint) {
  std::vector<std::string_view> inputs;
  for (const auto& member : joint->members) {
    inputs.insert(inputs.end(), member->inputs.inputs.begin(), member->inputs.inputs.end());
  }
  const auto& first = *joint->members.front();
  auto body = wire::join_embeddings(first.body, inputs);
  JointAnswer answer{
      std::unexpected(fail(ErrorCode::internal, "the inputs cannot be joined")), {}, {}};
  Order order = first.order;
  if (body) {
    joint->body = std::move(*body);
    order.request.body = joint->body;
    answer = co_await parts_.ask(order);
  }
  ended(first.key);
  if (answer.document && joint->members.size() > 1) {
    batches_.add();
    joined_.add(static_cast<double>(joint->members.size()));
  }
  hand_out(*joint, std::move(answer));
  joint->over->notify();
}

void EmbeddingBatcher::hand_out(const Joint& joint, JointAnswer answer) {
  std::vector<wire::EmbeddingShare> shares;
  shares.reserve(joint.members.size());
  for (const auto& member : joint.members) {
    shares.push_back({member->inputs.inputs.size(), member->inputs.bytes});
  }
  std::vector<wire::EmbeddingAnswer> answers(joint.members.size());
  if (answer.document) {
    auto split = wire::split_embeddings(*answer.document, shares);
    if (split) answers = std::move(*split);
    if (!split) answer.document = std::unexpected(std::move(split).error());
  }
  bool whole = answer.document || !may_be_one_input(answer.document.error().code);
  if (answer.document) answer.document->clear();  // everybody has a part of it
  auto shared = whole ? std::make_shared<const JointAnswer>(std::move(answer)) : nullptr;
  for (std::size_t i = 0; i < joint.members.size(); ++i) {
    joint.members[i]->share->fulfil(
        {shared, std::move(answers[i].document), answers[i].prompt_tokens, joint.members.size()});
  }
}

net::Task<void> EmbeddingBatcher::deliver(Call& call, const Share& share) {
  const auto& joint = *share.joint;
  auto& headers = call.exchange.extra_headers();
  for (std::size_t i = 0; i < joint.headers.size(); ++i) {
    headers.set(joint.headers[i].name, joint.headers[i].value);
  }
  auto operation = call.notes.operation;
  call.notes = joint.notes;
  call.notes.operation = operation;
  if (!joint.document) {
    co_await refuse(call.exchange, joint.document.error());
    co_return;
  }
  call.notes.usage.prompt_tokens = share.prompt_tokens;
  call.notes.usage.reported = true;
  call.notes.first_token = SteadyClock::now() - call.request().started;
  if (share.batch > 1) headers.set("x-corral-batch", fmt::format("{}", share.batch));
  net::HttpReply reply;
  reply.body = share.document;
  (void)co_await call.exchange.reply(std::move(reply));
}

}  // namespace corral::api::openai
