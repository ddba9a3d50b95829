#include "net/static_files.hpp"

#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>

#include "net/compression.hpp"
#include "test_support.hpp"

namespace corral::net::static_files_test {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    outside_ = fs::path(::testing::TempDir()) /
               (std::string("corral_static_") +
                ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(outside_);
    root_ = outside_ / "root";
    fs::create_directories(root_ / "assets");
    fs::create_directories(root_ / "empty");
    fs::create_directories(root_ / ".git");
    write("index.html", "<h1>home</h1>");
    write("assets/index.html", "<h1>assets</h1>");
    write("assets/app.js", std::string(5000, 'x'));
    write("numbers.bin", "0123456789");
    write("with space.txt", "spaced");
    write(".hidden", "hidden");
    write(".git/config", "hidden");
    big_.resize(3'000'000);
    for (std::size_t i = 0; i < big_.size(); ++i) big_[i] = static_cast<char>('a' + i % 23);
    write("big.txt", big_);
    std::ofstream(outside_ / "secret.txt") << "secret";
    fs::create_symlink(outside_ / "secret.txt", root_ / "leak.txt");
    fs::create_directory_symlink(outside_, root_ / "up");
    fs::create_symlink("numbers.bin", root_ / "inner.bin");
    files_ = std::make_unique<StaticFiles>(root_.string(), pool_);
    server_ = std::make_unique<HttpServer>(
        loops_.shards(), HttpServerOptions{},
        [this](HttpExchange& exchange) {
          return files_->serve(exchange, std::string(exchange.request().path));
        },
        [](const HttpRequest&, const HttpOutcome&) {});
    auto bound = server_->listen("127.0.0.1", 0);
    ASSERT_TRUE(bound);
    port_ = bound->port;
    server_->start();
  }

  void TearDown() override {
    loops_.run(loops_.shards().control(), server_->stop(1s));
    loops_.end();
    fs::remove_all(outside_);
  }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / name, std::ios::binary) << text;
  }

  std::string ask(const std::string& path, const std::string& fields = "",
                  const std::string& method = "GET") {
    RawClient client(port_);
    client.send(method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
                fields + "\r\n");
    return client.read_all();
  }

  static std::string field(const std::string& answer, const std::string& name) {
    auto at = answer.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    at += name.size() + 4;
    return answer.substr(at, answer.find("\r\n", at) - at);
  }

  fs::path outside_, root_;
  std::string big_;
  BlockingPool pool_{2};
  Loops loops_;
  std::unique_ptr<StaticFiles> files_;
  std::unique_ptr<HttpServer> server_;
  std::uint16_t port_ = 0;
};

TEST_F(Files, ServesFilesWithTheirType) {
  std::string answer = ask("/numbers.bin");
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_EQ(body_of(answer), "0123456789");
  EXPECT_EQ(field(answer, "Content-Type"), "application/octet-stream");
  EXPECT_EQ(field(answer, "X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(field(answer, "Accept-Ranges"), "bytes");
  EXPECT_EQ(field(ask("/assets/app.js"), "Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(body_of(ask("/with%20space.txt")), "spaced");
}

TEST_F(Files, ServesTheIndexOfFolders) {
  EXPECT_EQ(body_of(ask("/")), "<h1>home</h1>");
  EXPECT_EQ(body_of(ask("/assets/")), "<h1>assets</h1>");
  std::string moved = ask("/assets?x=1");
  EXPECT_EQ(status_of(moved), 301);
  EXPECT_EQ(field(moved, "Location"), "/assets/?x=1");
  EXPECT_EQ(status_of(ask("/empty/")), 404);
  EXPECT_EQ(status_of(ask("/numbers.bin/")), 404);
}

TEST_F(Files, KeepsToItsFolder) {
  for (const char* path : {"/../secret.txt",
                           "/assets/../../secret.txt",
                           "/%2e%2e/secret.txt",
                           "/..%2fsecret.txt",
                           "/..%2Fsecret.txt",
                           "/assets%2fapp.js",
                           "/assets\\app.js",
                           "/assets%5capp.js",
                           "/numbers.bin%00",
                           "/.hidden",
                           "/.git/config",
                           "/./numbers.bin",
                           "//numbers.bin",
                           "/assets//app.js",
                           "/leak.txt",
                           "/up/secret.txt",

                           "/%zz",
                           "/%ff.txt",
                           "/missing.txt",
                           "/...",
                           "/..",
                           "/."}) {
    std::string answer = ask(path);
    int status = status_of(answer);
    EXPECT_TRUE(status == 404 || status == 400) << path << " " << status;
    EXPECT_EQ(answer.find("secret\n"), std::string::npos) << path;
  }
  EXPECT_EQ(body_of(ask("/inner.bin")), "0123456789");  // a link that stays inside
}

TEST_F(Files, AnswersHeadAndRefusesOtherMethods) {
  std::string head = ask("/numbers.bin", "", "HEAD");
  EXPECT_EQ(status_of(head), 200);
  EXPECT_EQ(field(head, "Content-Length"), "10");
  EXPECT_EQ(body_of(head), "");
  EXPECT_EQ(body_of(ask("/big.txt", "", "HEAD")), "");
  std::string post = ask("/numbers.bin", "Content-Length: 0\r\n", "POST");
  EXPECT_EQ(status_of(post), 405);
  EXPECT_EQ(field(post, "Allow"), "GET, HEAD");
}

TEST_F(Files, AnswersConditionsWith304) {
  std::string first = ask("/numbers.bin");
  std::string tag = field(first, "ETag"), date = field(first, "Last-Modified");
  ASSERT_TRUE(tag.starts_with("W/\"")) << tag;
  EXPECT_EQ(status_of(ask("/numbers.bin", "If-None-Match: " + tag + "\r\n")), 304);
  EXPECT_EQ(status_of(ask("/numbers.bin", "If-None-Match: \"x\", " + tag + "\r\n")), 304);
  EXPECT_EQ(status_of(ask("/numbers.bin", "If-None-Match: *\r\n")), 304);
  EXPECT_EQ(status_of(ask("/numbers.bin", "If-None-Match: \"other\"\r\n")), 200);
  EXPECT_EQ(status_of(ask("/numbers.bin", "If-Modified-Since: " + date + "\r\n")), 304);
  EXPECT_EQ(status_of(ask("/numbers.bin", "If-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT\r\n")),
            200);
  EXPECT_EQ(status_of(ask("/numbers.bin", "If-Modified-Since: yesterday\r\n")), 200);
  // The tag has precedence over the date.
  EXPECT_EQ(
      status_of(ask("/numbers.bin", "If-None-Match: \"x\"\r\nIf-Modified-Since: " + date + "\r\n")),
      200);
}

TEST_F(Files, ATagChangesWithTheFile) {
  std::string before = field(ask("/numbers.bin"), "ETag");
  write("numbers.bin", "01234567890");
  EXPECT_NE(field(ask("/numbers.bin"), "ETag"), before);
}

struct RangeCase {
  const char* range;
  int status;
  const char* body;
  const char* content_range;
};

TEST_F(Files, AnswersOneRange) {
  for (auto [range, status, body, content_range] :
       std::initializer_list<RangeCase>{{"bytes=0-3", 206, "0123", "bytes 0-3/10"},
                                        {"bytes=4-", 206, "456789", "bytes 4-9/10"},
                                        {"bytes=-2", 206, "89", "bytes 8-9/10"},
                                        {"bytes=-99", 206, "0123456789", "bytes 0-9/10"},
                                        {"bytes=9-99", 206, "9", "bytes 9-9/10"},
                                        {"bytes=10-", 416, nullptr, "bytes */10"},
                                        {"bytes=-0", 416, nullptr, "bytes */10"},
                                        {"bytes=3-1", 200, "0123456789", ""},
                                        {"bytes=0-1,3-4", 200, "0123456789", ""},
                                        {"bytes=x-1", 200, "0123456789", ""},
                                        {"bytes=1-x", 200, "0123456789", ""},
                                        {"bytes=-", 200, "0123456789", ""},
                                        {"bytes=1", 200, "0123456789", ""},
                                        {"bytes=-x", 200, "0123456789", ""},
                                        {"bytes=99999999999999999999-", 200, "0123456789", ""},
                                        {"lines=0-1", 200, "0123456789", ""}}) {
    std::string answer = ask("/numbers.bin", std::string("Range: ") + range + "\r\n");
    EXPECT_EQ(status_of(answer), status) << range;
    if (body != nullptr) {
      EXPECT_EQ(body_of(answer), body) << range;
    }
    EXPECT_EQ(field(answer, "Content-Range"), content_range) << range;
  }
}

TEST_F(Files, ARangeCanDependOnTheDate) {
  std::string date = field(ask("/numbers.bin"), "Last-Modified");
  std::string tag = field(ask("/numbers.bin"), "ETag");
  std::string range = "Range: bytes=0-0\r\nIf-Range: ";
  EXPECT_EQ(status_of(ask("/numbers.bin", range + date + "\r\n")), 206);
  EXPECT_EQ(status_of(ask("/numbers.bin", range + "Thu, 01 Jan 1998 00:00:00 GMT\r\n")), 200);
  EXPECT_EQ(status_of(ask("/numbers.bin", range + tag + "\r\n")), 200);  // weak tags prove nothing
}

TEST_F(Files, StreamsBigFiles) {
  RawClient client(port_);
  client.send("GET /big.txt HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(body_of(client.read_all()) == big_);
  RawClient ranged(port_);
  ranged.send("GET /big.txt HTTP/1.0\r\nHost: localhost\r\nRange: bytes=7-2000006\r\n\r\n");
  std::string answer = ranged.read_all();
  EXPECT_EQ(status_of(answer), 206);
  EXPECT_TRUE(body_of(answer) == big_.substr(7, 2'000'000));
}

TEST_F(Files, CompressesWhatCompresses) {
  std::string answer = ask("/assets/app.js", "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(field(answer, "Content-Encoding"), "gzip");
  auto plain = decompress(Coding::gzip, body_of(answer), 10'000);
  ASSERT_TRUE(plain);
  EXPECT_EQ(*plain, std::string(5000, 'x'));
  answer = ask("/assets/app.js", "Accept-Encoding: gzip\r\nRange: bytes=0-4000\r\n");
  EXPECT_EQ(field(answer, "Content-Encoding"), "");
  EXPECT_EQ(body_of(answer).size(), 4001u);
}

TEST_F(Files, AnEmptyFileIsNoError) {
  write("nothing.txt", "");
  std::string answer = ask("/nothing.txt");
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_EQ(field(answer, "Content-Length"), "0");
  EXPECT_EQ(status_of(ask("/nothing.txt", "Range: bytes=0-\r\n")), 416);
}

TEST_F(Files, AMissingRootIsA404) {
  fs::rename(root_, outside_ / "moved");
  EXPECT_EQ(status_of(ask("/numbers.bin")), 404);
  EXPECT_EQ(status_of(ask("/")), 404);
}

TEST_F(Files, AChosenFileHasItsOwnTag) {
  HttpServer server(
      loops_.shards(), HttpServerOptions{},
      [this](HttpExchange& exchange) {
        auto path = root_ / exchange.request().path.substr(1);
        return send_file(exchange, pool_, {path.string(), "\"the-tag\""});
      },
      [](const HttpRequest&, const HttpOutcome&) {});
  port_ = server.listen("127.0.0.1", 0)->port;
  server.start();
  auto whole = ask("/inner.bin");  // a link of the caller's is followed
  EXPECT_EQ(body_of(whole), "0123456789");
  EXPECT_EQ(field(whole, "ETag"), "\"the-tag\"");
  auto part = ask("/numbers.bin", "Range: bytes=2-4\r\nIf-Range: \"the-tag\"\r\n");
  EXPECT_EQ(status_of(part), 206);
  EXPECT_EQ(body_of(part), "234");
  EXPECT_EQ(status_of(ask("/numbers.bin", "Range: bytes=2-4\r\nIf-Range: \"other\"\r\n")), 200);
  EXPECT_EQ(status_of(ask("/none")), 404);
  EXPECT_EQ(status_of(ask("/assets")), 404);
  loops_.run(loops_.shards().control(), server.stop(1s));
}

}  // namespace
}  // namespace corral::net::static_files_test
