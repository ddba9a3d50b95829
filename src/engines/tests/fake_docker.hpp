// A Docker Engine for tests: answers over a unix socket as Docker's published API says, for the few
// calls that are used, and misbehaves on demand. It runs nothing; the API of its "containers" is a
// port of its own that answers with `api_status`. That it answers as a Docker Engine does is shown
// with Docker's own client for Python (tests/test_fake_docker.py).
//
// Thread rule: thread-safe; connections have threads of their own.
#pragma once

#include <arpa/inet.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engines/tests/fake_docker_wire.hpp"
#include "sys/fd.hpp"

namespace corral::engines::docker {

class FakeDocker {
 public:
  struct Made {
    std::string id;
    boost::json::object spec;
    bool begun = false;  // once at least
    bool running = false;
    int exit_code = 0;
    bool out_of_memory = false;
  };
  // What is sent instead of an answer, whole; nullopt: what Docker would say.
  using Script = std::function<std::optional<std::string>(const std::string& call)>;

  explicit FakeDocker(std::string path) : path_(std::move(path)) {
    start();
    api_ = sys::Fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(api_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    ::getsockname(api_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    ::listen(api_.get(), 16);
    std::lock_guard lock(mutex_);
    threads_.emplace_back([this] { serve_api(); });
  }
  ~FakeDocker() {
    stop();
    ::shutdown(api_.get(), SHUT_RDWR);
    for (;;) {
      std::vector<std::thread> some;
      {
        std::lock_guard lock(mutex_);
        some.swap(threads_);
      }
      if (some.empty()) return;
      for (auto& each : some) each.join();
    }
  }

  // As when the daemon begins and ends; what it knows stays.
  void start() {
    ::unlink(path_.c_str());
    listener_ = sys::Fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(listener_.get(), 16);
    std::lock_guard lock(mutex_);
    threads_.emplace_back([this, fd = listener_.get()] { accept_all(fd); });
  }
  void stop() {
    ::unlink(path_.c_str());
    std::lock_guard lock(mutex_);
    ::shutdown(listener_.get(), SHUT_RDWR);
    for (int each : open_) ::shutdown(each, SHUT_RDWR);
    changed_.notify_all();
  }

  void add_image(const std::string& name) {
    std::lock_guard lock(mutex_);
    images_.insert(name);
  }
  void set_script(Script script) {
    std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  // It ends by itself.
  void die(const std::string& name, int code, bool out_of_memory = false) {
    std::lock_guard lock(mutex_);
    auto& made = containers_.at(name);
    made.running = false;
    made.exit_code = code;
    made.out_of_memory = out_of_memory;
    tell("die", name);
  }
  void vanish(const std::string& name) {
    std::lock_guard lock(mutex_);
    containers_.erase(name);
    tell("destroy", name);
  }
  std::optional<Made> find(const std::string& name) {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(name);
    return found == containers_.end() ? std::nullopt : std::optional(found->second);
  }
  std::size_t count(std::string_view part) {
    std::lock_guard lock(mutex_);
    std::size_t all = 0;
    for (const auto& each : calls_) all += each.find(part) != std::string::npos ? 1 : 0;
    return all;
  }
  std::size_t most_at_once() {
    std::lock_guard lock(mutex_);
    return most_;
  }

  std::uint16_t port = 0;             // of the engines' API
  std::atomic<int> api_status{200};   // what it says
  std::atomic<int> dies_at_start{0};  // so many starts end at once

 private:
  using Json = boost::json::object;
  static constexpr const char* kStats =
      R"({"memory_stats":{"usage":3000,"limit":9000,"stats":{"inactive_file":1000}},)"
      R"("cpu_stats":{"cpu_usage":{"total_usage":2500000000}}})";

  void accept_all(int listener) {
    for (;;) {
      int socket = ::accept(listener, nullptr, nullptr);
      if (socket < 0) return;
      std::lock_guard lock(mutex_);
      open_.insert(socket);
      threads_.emplace_back([this, socket] {
        serve(socket);
        std::lock_guard closing(mutex_);
        open_.erase(socket);
        ::close(socket);
      });
    }
  }

  void serve(int socket) {
    std::string pending;
    for (;;) {
      std::string request = read_request(socket, pending);
      if (request.empty()) return;
      auto line = request.substr(0, request.find(" HTTP/"));
      auto body = request.substr(request.find("\r\n\r\n") + 4);
      Script script;
      {
        std::lock_guard lock(mutex_);
        calls_.push_back(line);
        most_ = std::max(most_, ++under_way_);
        script = script_;
      }
      auto scripted = script ? script(line) : std::nullopt;
      bool goes_on = true;
      if (scripted) {  // after rubbish the connection ends
        goes_on = send_all(socket, *scripted) && scripted->find("application/json") != line.npos;
      } else {
        goes_on = handle(socket, line, body);
      }
      std::lock_guard lock(mutex_);
      --under_way_;
      if (!goes_on) return;
    }
  }

  // "POST /v1.41/containers/x/start?t=1" -> true while the connection goes on
  bool handle(int socket, const std::string& line, const std::string& body) {
    auto space = line.find(' ');
    std::string method = line.substr(0, space);
    std::string target = line.substr(space + 1);
    if (target.starts_with("/v1.43/")) {
      target = target.substr(6);
    } else if (target != "/version" && target != "/_ping") {
      return send_all(socket, answer(400, R"({"message":"only API version 1.43 is spoken"})"));
    }
    if (target == "/_ping") return send_all(socket, answer(200, "OK"));
    if (target == "/version") {
      return send_all(socket, answer(200, R"({"ApiVersion":"1.43","MinAPIVersion":"1.12"})"));
    }
    std::string path = target.substr(0, target.find('?'));
    if (path == "/events") return send_events(socket);
    if (path == "/images/create") return send_pull(socket, target);
    if (path == "/containers/json") return send_all(socket, answer(200, listing(target)));
    if (path.starts_with("/images/")) return send_image(socket, path);
    if (path == "/containers/create") return send_all(socket, create(target, body));
    return of_container(socket, method, path.substr(12), target);
  }

  bool send_image(int socket, const std::string& path) {
    std::lock_guard lock(mutex_);
    auto name = path.substr(8, path.size() - 8 - 5);
    if (!images_.contains(name)) {
      return send_all(socket, answer(404, R"({"message":"No such image"})"));
    }
    return send_all(
        socket, answer(200, boost::json::serialize(
                                Json{{"Id", "sha256:1"}, {"RepoTags", boost::json::array{name}}})));
  }

  bool send_pull(int socket, const std::string& target) {
    send_all(socket, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    bool known = target.find("nosuch") == std::string::npos;
    send_chunk(socket, R"({"status":"Pulling from ollama/ollama","id":"1"})");
    if (known) {
      send_chunk(socket,
                 R"({"status":"Downloading","progressDetail":{"current":30,"total":100},"id":"a"})"
                 "\r\n"
                 R"({"status":"Downloading","progressDetail":{"current":5,"to)");
      send_chunk(socket, R"(tal":50},"id":"b"}{"status":"Pull complete","id":"a"})");
      std::lock_guard lock(mutex_);
      images_.insert(value_of(target, "fromImage") + ":" + value_of(target, "tag"));
    } else {
      send_chunk(socket, R"({"errorDetail":{"message":"manifest unknown"},"error":"x"})");
    }
    return send_all(socket, "0\r\n\r\n");
  }

  std::string create(const std::string& target, const std::string& body) {
    std::lock_guard lock(mutex_);
    auto name = value_of(target, "name");
    if (containers_.contains(name)) return answer(409, R"({"message":"name is in use"})");
    auto spec = boost::json::parse(body).as_object();
    if (!images_.contains(std::string(spec.at("Image").as_string()))) {
      return answer(404, R"({"message":"No such image"})");
    }
    auto id = fmt::format("{:064x}", ++made_);
    containers_[name] = {id, std::move(spec)};
    return answer(201, fmt::format(R"({{"Id":"{}","Warnings":[]}})", id));
  }

  static const char* state_of(const Made& made) {
    return made.running ? "running" : made.begun ? "exited" : "created";
  }
  static Json labels_of(const Made& made) {
    const auto* labels = made.spec.if_contains("Labels");
    return labels != nullptr && labels->is_object() ? labels->get_object() : Json();
  }

  std::string listing(const std::string& target) {
    std::lock_guard lock(mutex_);
    boost::json::array all;
    for (const auto& [name, made] : containers_) {
      auto labels = labels_of(made);
      if (!matches(labels, value_of(target, "filters"))) continue;
      if (!made.running && !is_set(target, "all")) continue;
      all.push_back(Json{{"Id", made.id},
                         {"Names", {"/" + name}},
                         {"Image", made.spec.at("Image")},
                         {"State", state_of(made)},
                         {"Status", made.running ? "Up 1 second" : "Exited"},
                         {"Labels", std::move(labels)}});
    }
    return boost::json::serialize(all);
  }

  std::string inspected(const std::string& name, const Made& made) const {
    Json ports;
    if (made.running) {
      boost::json::array bound;  // braces around one value may copy it
      bound.push_back(Json{{"HostIp", "127.0.0.1"}, {"HostPort", std::to_string(port)}});
      ports["8080/tcp"] = std::move(bound);
    }
    return boost::json::serialize(
        Json{{"Id", made.id},
             {"Name", "/" + name},
             {"Image", "sha256:1"},
             {"State", Json{{"Status", state_of(made)},
                            {"Running", made.running},
                            {"ExitCode", made.exit_code},
                            {"OOMKilled", made.out_of_memory},
                            {"Error", ""}}},
             {"Config",
              Json{{"Image", made.spec.at("Image")}, {"Labels", labels_of(made)}, {"Tty", false}}},
             {"NetworkSettings", Json{{"Ports", std::move(ports)}}}});
  }

  bool of_container(int socket, const std::string& method, const std::string& rest,
                    const std::string& target) {
    auto slash = rest.find('/');
    std::string key = rest.substr(0, slash);
    std::string verb = slash == std::string::npos ? "" : rest.substr(slash + 1);
    std::unique_lock lock(mutex_);
    auto found = containers_.find(key);
    for (auto at = containers_.begin(); found == containers_.end() && at != containers_.end();
         ++at) {
      if (at->second.id == key) found = at;
    }
    if (found == containers_.end()) {
      return send_all(socket, answer(404, R"({"message":"No such container"})"));
    }
    auto& [name, made] = *found;
    if (method == "DELETE") {
      if (made.running && !is_set(target, "force")) {
        return send_all(socket, answer(409, R"({"message":"cannot remove a running container"})"));
      }
      tell("destroy", name);
      containers_.erase(found);
      return send_all(socket, answer(204, ""));
    }
    if (verb == "json") return send_all(socket, answer(200, inspected(name, made)));
    if (verb == "stats") {
      if (is_set(target, "stream", true)) return send_stats(socket, made.id, lock);
      return send_all(socket, answer(200, kStats));
    }
    if (verb == "logs") return send_log(socket, is_set(target, "follow"), made.id, lock);
    if (verb == "start") {
      if (made.running) return send_all(socket, answer(304, ""));
      made.begun = true;
      made.running = dies_at_start.load() <= 0;
      if (!made.running) {
        --dies_at_start;
        made.exit_code = 7;
      }
      tell("start", name);
    }
    if (verb == "stop" || verb == "kill") {
      if (!made.running) return send_all(socket, answer(304, ""));
      made.exit_code = verb == "kill" ? 137 : 0;
      made.running = false;
      tell("die", name);
    }
    return send_all(socket, answer(204, ""));
  }

  bool send_log(int socket, bool follow, std::string id, std::unique_lock<std::mutex>& lock) {
    send_all(socket, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    auto text = frame(1, "first words\nsecond ") + frame(2, "a complaint\n") + frame(1, "half\n");
    send_chunk(socket, std::string_view(text).substr(0, 13));
    send_chunk(socket, std::string_view(text).substr(13));
    if (follow) {
      changed_.wait(lock,
                    [&] { return !is_running(id) || !open_.contains(socket) || gone(socket); });
    }
    return send_all(socket, "0\r\n\r\n") && !follow;
  }

  // A sample again and again, while it runs and somebody listens.
  bool send_stats(int socket, std::string id, std::unique_lock<std::mutex>& lock) {
    send_all(socket, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (is_running(id) && open_.contains(socket) && !gone(socket)) {
      if (!send_chunk(socket, std::string(kStats) + "\n")) return false;
      changed_.wait_for(lock, std::chrono::milliseconds(10));
    }
    return send_all(socket, "0\r\n\r\n") && false;
  }

  bool is_running(const std::string& id) const {
    for (const auto& [name, made] : containers_) {
      if (made.id == id) return made.running;
    }
    return false;
  }

  bool send_events(int socket) {
    send_all(socket, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    std::unique_lock lock(mutex_);
    std::size_t sent = events_.size();
    for (;;) {
      while (sent < events_.size()) {
        if (!send_chunk(socket, events_[sent++])) return false;
      }
      changed_.wait(lock);
      if (gone(socket)) return false;
    }
  }

  void tell(const std::string& action, const std::string& name) {
    auto found = containers_.find(name);
    events_.push_back(fmt::format(
        R"({{"Type":"container","Action":"{}","Actor":{{"ID":"{}","Attributes":{{"name":"{}"}}}}}})"
        "\n",
        action, found != containers_.end() ? found->second.id : "x", name));
    changed_.notify_all();
  }

  void serve_api() {
    for (;;) {
      int socket = ::accept(api_.get(), nullptr, nullptr);
      if (socket < 0) return;
      std::string pending;
      if (!read_request(socket, pending).empty()) {
        send_all(socket,
                 fmt::format("HTTP/1.1 {} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
                             api_status.load()));
      }
      ::close(socket);
    }
  }

  std::string path_;
  sys::Fd listener_;
  sys::Fd api_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<int> open_;
  std::set<std::string> images_;
  std::map<std::string, Made> containers_;
  std::vector<std::string> calls_;
  std::vector<std::string> events_;
  Script script_;
  std::size_t made_ = 0;
  std::size_t under_way_ = 0;
  std::size_t most_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace corral::engines::docker
