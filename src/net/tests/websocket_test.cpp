#include "net/websocket.hpp"

#include <zlib.h>

#include <gtest/gtest.h>

#include "test_support.hpp"

namespace corral::net::websocket_test {
namespace {

using namespace testing;

constexpr std::string_view kHandshake =
    "GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

enum Opcode : unsigned char { kContinue = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong };
constexpr unsigned char kFin = 0x80, kCompressed = 0x40;

// A client's frame (RFC 6455 section 5.2), masked.
std::string frame(unsigned char first, std::string_view payload) {
  std::string out(1, static_cast<char>(first));
  if (payload.size() < 126) {
    out += static_cast<char>(0x80 | payload.size());
  } else if (payload.size() < 65536) {
    out += static_cast<char>(0x80 | 126);
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size());
  } else {
    out += static_cast<char>(0x80 | 127);
    for (int shift = 56; shift >= 0; shift -= 8) {
      out += static_cast<char>(static_cast<std::uint64_t>(payload.size()) >> shift);
    }
  }
  constexpr char kMask[] = {0x12, 0x34, 0x56, 0x78};
  out.append(kMask, 4);
  for (std::size_t i = 0; i < payload.size(); ++i) {
    out += static_cast<char>(payload[i] ^ kMask[i % 4]);
  }
  return out;
}

struct Frame {
  unsigned char first = 0;
  std::string payload;
};

// A client that reads the server's frames one by one.
class Client {
 public:
  explicit Client(std::uint16_t port) : raw_(port) {}

  std::string open(std::string_view more_fields = "", std::string_view early = "") {
    raw_.send(std::string(kHandshake) + std::string(more_fields) + "\r\n" + std::string(early));
    std::string all = raw_.read_until("\r\n\r\n");
    used_ = all.find("\r\n\r\n") + 4;
    return all.substr(0, used_);
  }
  void send(std::string_view bytes) { raw_.send(bytes); }

  Frame next() {
    auto at = [this](const std::string& all, std::size_t i) {
      return static_cast<unsigned char>(all[used_ + i]);
    };
    auto size_known = [&](const std::string& all) {
      return all.size() >= used_ + 2 &&
             (at(all, 1) < 126 || all.size() >= used_ + (at(all, 1) == 126 ? 4 : 10));
    };
    std::string all = raw_.read_until(size_known);
    if (!size_known(all)) return {};
    Frame frame{at(all, 0), ""};
    std::size_t size = at(all, 1), head = 2;
    if (size >= 126) {
      std::size_t bytes = size == 126 ? 2 : 8;
      size = 0;
      for (; head < 2 + bytes; ++head) size = size << 8 | at(all, head);
    }
    all = raw_.read_until(
        [&](const std::string& text) { return text.size() >= used_ + head + size; });
    frame.payload = all.substr(used_ + head, size);
    used_ += head + size;
    return frame;
  }

  RawClient& raw() { return raw_; }

 private:
  RawClient raw_;
  std::size_t used_ = 0;
};

std::string close_payload(std::uint16_t code, std::string_view reason = "") {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code)} + std::string(reason);
}

// What the server's side saw.
struct Seen {
  std::mutex mutex;
  std::vector<std::string> messages;
  std::optional<ErrorCode> end;
  std::string refusal;

  std::optional<ErrorCode> ended() {
    std::lock_guard lock(mutex);
    return end;
  }
};

Task<void> refuse(HttpExchange& exchange, std::string text) {
  HttpReply reply;
  reply.status = 400;
  reply.body = std::move(text);
  auto ignored = co_await exchange.reply(std::move(reply));
}

Task<void> echo(HttpExchange& exchange, Seen& seen) {
  auto socket = co_await exchange.upgrade();
  if (!socket) {
    co_await refuse(exchange, socket.error().message);
    co_return;
  }
  while (true) {
    auto message = co_await (*socket)->receive();
    if (!message) {
      std::lock_guard lock(seen.mutex);
      seen.end = message.error().code;
      co_return;
    }
    {
      std::lock_guard lock(seen.mutex);
      seen.messages.push_back(message->data);
    }
    if (message->data == "close me") {
      co_await (*socket)->close(1001, "going away");
      std::lock_guard lock(seen.mutex);
      seen.end = ErrorCode::internal;
      co_return;
    }
    std::string answer = message->text ? message->data : "binary " + message->data;
    auto sent = co_await (*socket)->send_text(answer);
    if (!sent) co_return;
  }
}

class Ws : public ::testing::Test {
 protected:
  Ws()
      : server_(
            loops_.shards(), {}, [this](HttpExchange& exchange) { return echo(exchange, seen_); },
            [](const HttpRequest&, const HttpOutcome&) {}) {
    port_ = server_.listen("127.0.0.1", 0)->port;
    server_.start();
  }
  ~Ws() override {
    stop();
    loops_.end();
  }

  std::size_t stop() {
    if (std::exchange(stopped_, true)) return 0;
    return loops_.run(loops_.shards().control(), server_.stop(0ms));
  }

  Loops loops_;
  Seen seen_;
  HttpServer server_;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
};

TEST_F(Ws, ShakesHandsAndEchoes) {
  Client client(port_);
  std::string head = client.open();
  EXPECT_EQ(status_of(head), 101) << head;
  EXPECT_NE(head.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos);
  EXPECT_EQ(head.find("Sec-WebSocket-Extensions"), std::string::npos);
  client.send(frame(kFin | kText, "hello"));
  auto answer = client.next();
  EXPECT_EQ(answer.first, kFin | kText);
  EXPECT_EQ(answer.payload, "hello");
  client.send(frame(kFin | kBinary, "bytes"));
  EXPECT_EQ(client.next().payload, "binary bytes");
  client.send(frame(kFin | kText, ""));
  EXPECT_EQ(client.next().payload, "");
}

TEST_F(Ws, ReadsFramesThatCameWithTheHandshake) {
  Client client(port_);
  EXPECT_EQ(status_of(client.open("", frame(kFin | kText, "early") + frame(kFin | kText, "too"))),
            101);
  EXPECT_EQ(client.next().payload, "early");
  EXPECT_EQ(client.next().payload, "too");
}

TEST_F(Ws, KeepsManyMessagesInOrder) {
  Client client(port_);
  client.open();
  for (int i = 0; i < 500; ++i) client.send(frame(kFin | kText, std::to_string(i)));
  for (int i = 0; i < 500; ++i) ASSERT_EQ(client.next().payload, std::to_string(i));
}

TEST_F(Ws, PutsFragmentsTogetherAndAnswersPingsMeanwhile) {
  Client client(port_);
  client.open();
  client.send(frame(kText, "one "));
  client.send(frame(kFin | kPing, "are you there"));
  client.send(frame(kContinue, "two "));
  client.send(frame(kFin | kContinue, "three"));
  auto pong = client.next();
  EXPECT_EQ(pong.first, kFin | kPong);
  EXPECT_EQ(pong.payload, "are you there");
  EXPECT_EQ(client.next().payload, "one two three");
}

TEST_F(Ws, CarriesLargeMessages) {
  Client client(port_);
  client.open();
  std::string large(1u << 20, 'x');
  client.send(frame(kFin | kText, large));
  EXPECT_TRUE(client.next().payload == large);
}

TEST_F(Ws, RefusesMessagesPastTheLimit) {
  Client client(port_);
  client.open();
  client.send(frame(kFin | kText, std::string((1u << 20) + 1, 'x')).substr(0, 100));
  auto answer = client.next();
  EXPECT_EQ(answer.first, kFin | kClose);
  EXPECT_EQ(answer.payload.substr(0, 2), close_payload(1009));
  EXPECT_TRUE(eventually([&] { return seen_.ended() == ErrorCode::too_large; }));
}

TEST_F(Ws, RefusesWhatBreaksTheProtocol) {
  const std::string unmasked = {static_cast<char>(kFin | kText), 1, 'x'};
  const std::pair<std::string, std::uint16_t> cases[] = {
      {unmasked, 1002},
      {frame(kFin | 3, "reserved opcode"), 1002},
      {frame(kFin | 0x20 | kText, "reserved bit"), 1002},
      {frame(kFin | kCompressed | kText, "not negotiated"), 1002},
      {frame(kFin | kContinue, "nothing to continue"), 1002},
      {frame(kPing, "a fragmented ping"), 1002},
      {frame(kFin | kText, "\xff\xfe no UTF-8"), 1007},
  };
  for (const auto& [bytes, code] : cases) {
    {
      std::lock_guard lock(seen_.mutex);
      seen_.end.reset();
    }
    Client client(port_);
    client.open();
    client.send(bytes);
    auto answer = client.next();
    EXPECT_EQ(answer.first, kFin | kClose) << bytes;
    EXPECT_EQ(answer.payload.substr(0, 2), close_payload(code)) << bytes;
    EXPECT_TRUE(eventually([&] { return seen_.ended() == ErrorCode::invalid_argument; })) << bytes;
  }
}

TEST_F(Ws, ClosesWhenTheClientDoes) {
  Client client(port_);
  client.open();
  client.send(frame(kFin | kClose, close_payload(1000, "bye")));
  auto answer = client.next();
  EXPECT_EQ(answer.first, kFin | kClose);
  EXPECT_EQ(answer.payload.substr(0, 2), close_payload(1000));
  client.raw().read_all();
  EXPECT_TRUE(client.raw().ended());
  EXPECT_TRUE(eventually([&] { return seen_.ended() == ErrorCode::cancelled; }));
}

TEST_F(Ws, ClosesWhenTheServerWants) {
  Client client(port_);
  client.open();
  client.send(frame(kFin | kText, "close me"));
  auto answer = client.next();
  EXPECT_EQ(answer.first, kFin | kClose);
  EXPECT_EQ(answer.payload, close_payload(1001, "going away"));
  client.send(frame(kFin | kClose, close_payload(1001)));
  client.raw().read_all();
  EXPECT_TRUE(client.raw().ended());
  EXPECT_TRUE(eventually([&] { return seen_.ended() == ErrorCode::internal; }));
}

TEST_F(Ws, NoticesAClientThatLeaves) {
  Client client(port_);
  client.open();
  client.raw().reset();
  EXPECT_TRUE(eventually([&] { return seen_.ended() == ErrorCode::cancelled; }));
}

TEST_F(Ws, EndsWithTheServer) {
  Client client(port_);
  client.open();
  client.send(frame(kFin | kText, "hello"));
  EXPECT_EQ(client.next().payload, "hello");
  stop();
  client.raw().read_all();
  EXPECT_TRUE(client.raw().ended());
  EXPECT_TRUE(eventually([&] { return seen_.ended().has_value(); }));
}

std::string inflate_message(std::string data) {
  data.append("\x00\x00\xff\xff", 4);  // RFC 7692 section 7.2.2
  z_stream stream{};
  inflateInit2(&stream, -15);
  std::string out(100'000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  inflate(&stream, Z_SYNC_FLUSH);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

std::string deflate_message(std::string data) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, -10, 8, Z_DEFAULT_STRATEGY);
  std::string out(data.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_SYNC_FLUSH);
  out.resize(stream.total_out - 4);
  deflateEnd(&stream);
  return out;
}

TEST_F(Ws, CompressesWhenAsked) {
  Client client(port_);
  std::string head =
      client.open("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
  EXPECT_NE(head.find("permessage-deflate"), std::string::npos) << head;
  EXPECT_NE(head.find("server_no_context_takeover"), std::string::npos) << head;
  EXPECT_NE(head.find("client_max_window_bits=10"), std::string::npos) << head;
  std::string text;
  while (text.size() < 50'000) text += "some words that repeat ";
  client.send(frame(kFin | kCompressed | kText, deflate_message(text)));
  auto answer = client.next();
  EXPECT_EQ(answer.first & kCompressed, kCompressed);
  EXPECT_LT(answer.payload.size(), text.size() / 10);
  EXPECT_TRUE(inflate_message(answer.payload) == text);
  client.send(frame(kFin | kCompressed | kText, deflate_message("short")));
  EXPECT_EQ(client.next().payload, "short") << "not worth compressing";
}

TEST_F(Ws, RefusesABombOfZeros) {
  Client client(port_);
  client.open("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
  client.send(frame(kFin | kCompressed | kBinary, deflate_message(std::string(8u << 20, '\0'))));
  auto answer = client.next();
  EXPECT_EQ(answer.first, kFin | kClose);
  EXPECT_TRUE(eventually([&] { return seen_.ended().has_value(); }));
  EXPECT_EQ(seen_.ended(), ErrorCode::too_large);
}

TEST_F(Ws, ARequestThatIsNoUpgradeIsTheHandlersToAnswer) {
  RawClient client(port_);
  client.send("GET /socket HTTP/1.1\r\nHost: localhost\r\n\r\n");
  std::string answer = client.read_answer();
  EXPECT_EQ(status_of(answer), 400);
  EXPECT_EQ(body_of(answer), "this is no WebSocket request");
}

}  // namespace
}  // namespace corral::net::websocket_test
