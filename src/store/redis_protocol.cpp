#include "store/redis_protocol.hpp"

#include <fmt/core.h>
#include <hiredis/read.h>

namespace corral::store {
namespace {

// What hiredis' reader calls for each value. The root is ours until it is handed out; an element is
// a part of its parent, which was made with room for all of them.
RedisReply* place_for(const redisReadTask* task) {
  if (task->parent == nullptr) return new RedisReply;
  auto& parent = *static_cast<RedisReply*>(task->parent->obj);
  return &parent.elements[static_cast<std::size_t>(task->idx)];
}

RedisReply::Kind kind_of(int type) {
  switch (type) {
    case REDIS_REPLY_STATUS: return RedisReply::Kind::status;
    case REDIS_REPLY_ERROR: return RedisReply::Kind::error;
    default: return RedisReply::Kind::text;
  }
}

void* make_string(const redisReadTask* task, char* text, std::size_t size) {
  auto* reply = place_for(task);
  reply->kind = kind_of(task->type);
  reply->text.assign(text, size);
  return reply;
}

void* make_array(const redisReadTask* task, int size) {
  if (size < 0 || size > RedisParser::kMostElements) return nullptr;  // an error of the reader
  auto* reply = place_for(task);
  reply->kind = RedisReply::Kind::array;
  reply->elements.resize(static_cast<std::size_t>(size));
  return reply;
}

void* make_integer(const redisReadTask* task, long long number) {
  auto* reply = place_for(task);
  reply->kind = RedisReply::Kind::integer;
  reply->integer = number;
  return reply;
}

void* make_nil(const redisReadTask* task) {
  auto* reply = place_for(task);
  reply->kind = RedisReply::Kind::nil;
  return reply;
}

void free_reply(void* reply) { delete static_cast<RedisReply*>(reply); }

redisReplyObjectFunctions& functions() {
  static redisReplyObjectFunctions table = {make_string, make_array, make_integer, make_nil,
                                            free_reply};
  return table;
}

}  // namespace

void append_command(std::string& out, std::span<const std::string_view> words) {
  out += fmt::format("*{}\r\n", words.size());
  for (auto word : words) {
    out += fmt::format("${}\r\n", word.size());
    out.append(word).append("\r\n");
  }
}

struct RedisParser::Reader {
  redisReader* reader = ::redisReaderCreateWithFunctions(&functions());
  ~Reader() { ::redisReaderFree(reader); }
};

RedisParser::RedisParser(std::size_t largest_reply)
    : largest_reply_(largest_reply), reader_(std::make_unique<Reader>()) {}

RedisParser::~RedisParser() = default;

Result<void> RedisParser::feed(std::string_view bytes) {
  if (bytes.size() > largest_reply_ || unfinished_ > largest_reply_ - bytes.size()) {
    return fail(ErrorCode::too_large, "a reply of Redis is too large");
  }
  unfinished_ += bytes.size();
  if (::redisReaderFeed(reader_->reader, bytes.data(), bytes.size()) != REDIS_OK) {
    return fail(ErrorCode::upstream, "Redis' replies cannot be read");
  }
  return {};
}

Result<std::optional<RedisReply>> RedisParser::next() {
  void* made = nullptr;
  if (::redisReaderGetReply(reader_->reader, &made) != REDIS_OK) {
    return fail(ErrorCode::upstream, "what answers there does not speak Redis' protocol");
  }
  if (made == nullptr) return std::optional<RedisReply>();
  std::unique_ptr<RedisReply> owned(static_cast<RedisReply*>(made));
  unfinished_ = reader_->reader->len - reader_->reader->pos;
  return std::optional<RedisReply>(std::move(*owned));
}

}  // namespace corral::store
