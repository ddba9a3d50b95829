#include "config/docker_properties.hpp"

#include "config/property_makers.hpp"

namespace corral::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

const std::vector<Property<ContainerSettings>>& container_properties() {
  using S = ContainerSettings;
  static const std::vector<Property<S>> table = {
      required(property("name", &S::name, text(),
                        "Name of the container, and of the endpoint that it is.")),
      required(property("image", &S::image, text(),
                        "The image, such as `docker.io/ollama/ollama:0.6.2`.")),
      property("command", &S::command, texts(), "Arguments; empty: the image's own."),
      property("environment", &S::environment, texts(),
               "NAME=VALUE; NAME alone is passed on as Corral itself has it."),
      property("mounts", &S::mounts, texts(),
               "SOURCE:TARGET, a folder of this machine or a volume, and where it is inside; with "
               "`:ro` behind it, it cannot be written."),
      required(property("port", &S::port, whole(1, 65535), "Where the engine listens inside.")),
      property("host_port", &S::host_port, whole(0, 65535),
               "Where it is reached on this machine's loopback; 0: any free port."),
      property("binding", &S::binding, choice({"openai", "llamacpp"}), "What it speaks."),
      property("path", &S::path, text(), "Path of its API."),
      property("models", &S::models, texts(),
               "Public model names that it serves; `PUBLIC=BACKEND` rewrites the name."),
      property("capacity", &S::capacity, whole(1, 100'000), "Requests at once."),
      property("api_key", &S::api_key, secret(), "Bearer token for it."),
      property("device", &S::device, text(),
               "The device whose memory it takes, as `cpu` or `CUDA0`; empty: none is counted."),
      property("memory", &S::memory, bytes(0, kMostMemory),
               "Most memory that it may use; 0: no limit."),
      property("cpus", &S::cpus, real(0, 4096), "Processors that it may use; 0: all."),
      property("gpus", &S::gpus, text(), "Accelerators: `all`, or how many; empty: none."),
      property("pull", &S::pull, flag(), "Pull the image when it is not there."),
      property("remove", &S::remove, flag(),
               "Stop and remove the container when Corral ends; otherwise it stays and is taken "
               "over by the next start."),
      property("start_timeout", &S::start_timeout, duration(milliseconds(1), hours(24)),
               "Time to become ready."),
      property("stop_timeout", &S::stop_timeout, duration(milliseconds(0), hours(1)),
               "Time to end after it is told to; then it is killed."),
  };
  return table;
}

}  // namespace

std::vector<Property<DockerSettings>> docker_properties() {
  using S = DockerSettings;
  return {
      property("socket", &S::socket, text(),
               "Unix socket of the Docker Engine API, or of Podman's."),
      list_property("containers", &S::containers, container_properties(),
                    "Engines in containers, which Corral makes and keeps running.",
                    &ContainerSettings::name),
  };
}

}  // namespace corral::config
