// The Docker Engine API over its unix socket: Docker's own, or Podman's service for Docker clients.
// The version is agreed on with the first call; connections are pooled by net::HttpClient; of calls
// that end soon so many are under way at once, the others wait.
//
// Errors: unavailable (no socket, nobody there) and forbidden (not allowed to use it) say what to
// do; not_found, conflict and upstream carry the engine's own words; timeout; cancelled.
// Thread rule: belongs to the shard it is used on. Lifecycle: outlives its calls.
// Example:
//   DockerClient docker("/var/run/docker.sock");
//   CORRAL_CO_TRY(auto mine, co_await docker.list());
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/docker/docker_streams.hpp"
#include "engines/docker/docker_types.hpp"
#include "net/http_client.hpp"
#include "net/one_shot.hpp"
#include "net/task.hpp"

namespace corral::engines::docker {

struct LogQuery {
  unsigned tail = 200;     // last lines
  std::int64_t since = 0;  // instead of `tail`: all after this second of the Unix epoch
  bool follow = false;     // and then what comes
};

class DockerClient {
 public:
  static constexpr std::size_t kAtOnce = 8;

  explicit DockerClient(std::string socket);

  const std::string& socket() const { return socket_; }

  net::Task<Result<ApiVersion>> version();
  net::Task<Result<std::vector<ContainerSummary>>> list();  // those with our label
  net::Task<Result<std::optional<ContainerDetails>>> inspect(std::string name);
  net::Task<Result<bool>> has_image(std::string reference);
  // `progress` is called as it comes; destroying the coroutine ends the pull.
  using Progress = std::function<void(const PullMeter&)>;
  net::Task<Result<void>> pull(std::string reference, Progress progress);
  net::Task<Result<std::string>> create(std::string name, std::string body);  // the id
  net::Task<Result<void>> start(std::string name);
  // Killed if it still runs after `patience`. No error when it does not run, or is not there.
  net::Task<Result<void>> stop(std::string name, std::chrono::milliseconds patience);
  net::Task<Result<void>> kill(std::string name);
  net::Task<Result<void>> remove(std::string name);  // running or not; no error when not there
  net::Task<Result<ContainerUsage>> usage(std::string name);
  // Until the log ends, or for ever when it follows.
  net::Task<Result<void>> logs(std::string name, LogQuery query, FrameSplitter::Sink sink);
  // What happens to containers of ours. `open` is called when the engine has begun to tell.
  using EventSink = std::function<void(const DockerEvent&)>;
  net::Task<Result<void>> events(std::function<void()> open, EventSink sink);

 private:
  struct Call {
    std::string method = "GET";
    std::string path;  // without the version
    std::string body;
    net::HttpTimeouts timeouts;
    bool stream = false;
    bool versioned = true;
  };
  struct Whole {
    int status = 0;
    std::string body;
  };
  class Place;  // among the calls at once

  net::Task<Result<std::unique_ptr<net::ClientResponse>>> open(Call call);
  net::Task<Result<Whole>> whole(Call call);
  net::Task<Result<void>> command(Call call, std::string what);
  net::Task<bool> take_place();
  void give_place();
  Error unreachable(Error error) const;

  std::string socket_;
  net::HttpTarget target_;
  std::optional<ApiVersion> version_;
  std::size_t under_way_ = 0;
  std::deque<std::shared_ptr<net::OneShot<bool>>> waiting_;
};

}  // namespace corral::engines::docker
