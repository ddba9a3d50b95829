// What must hold of containers, and the endpoints that they are.
#include "config/containers.hpp"
#include "base/tests/support/source_dir.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "config/config.hpp"

namespace corral::config::containers_test {
namespace {

Result<Loaded> loaded(const std::string& text) {
  Sources sources;
  sources.text = text;
  sources.file_name = "c.yaml";
  return load(sources);
}

ContainerSettings boxed() {
  ContainerSettings container;
  container.name = "boxed";
  container.image = "docker.io/ollama/ollama:0.6.2";
  return container;
}

// What is wrong with this one container.
std::string wrong(const ContainerSettings& container) {
  Settings settings;
  settings.docker.containers = {container};
  std::string all;
  for (const auto& each : validate_containers(settings)) {
    all += each.path + ": " + each.message + "\n";
  }
  return all;
}

#define EXPECT_WRONG(container, path)                                          \
  EXPECT_TRUE(wrong(container).starts_with("docker.containers[0]." path ": ")) \
      << "says: " << wrong(container)

TEST(Containers, PlainOnesAreRight) {
  EXPECT_EQ(wrong(boxed()), "");
  auto full = boxed();
  full.environment = {"HF_TOKEN", "A=b=c", "EMPTY="};
  full.mounts = {"/models:/m:ro", "volume-1:/data", "/a:/b:rw"};
  full.gpus = "all";
  full.path = "";
  full.memory = 1u << 30;
  full.models = {"public=backend"};
  EXPECT_EQ(wrong(full), "");
  full.gpus = "2";
  full.image = "localhost:5000/x@sha256:00";
  EXPECT_EQ(wrong(full), "");
}

TEST(Containers, EachSettingIsChecked) {
  auto with = [](auto member, auto value) {
    auto container = boxed();
    container.*member = value;
    return container;
  };
  using S = ContainerSettings;
  using Texts = std::vector<std::string>;
  for (auto name : {"", "a b", "local", "Local", "x", "-ab", "ü1"}) {
    EXPECT_WRONG(with(&S::name, name), "name");
  }
  for (auto image : {"", "a b", "../x", "-x", "a//b", "a?b", "a/%2e"}) {
    EXPECT_WRONG(with(&S::image, image), "image");
  }
  for (auto mount : {"x", "/a", "/a:b", "rel/ative:/b", "/a:/b:z", "/a:/", ":/b", "/a:/b:ro:ro"}) {
    EXPECT_WRONG(with(&S::mounts, Texts{mount}), "mounts");
  }
  for (auto gpus : {"many", "0", "-1", "5000"}) EXPECT_WRONG(with(&S::gpus, gpus), "gpus");
  for (auto path : {"v1", "/a b", "/a?b", "/a#b"}) EXPECT_WRONG(with(&S::path, path), "path");
  EXPECT_WRONG(with(&S::memory, std::uint64_t{1024}), "memory");
  EXPECT_WRONG(with(&S::models, Texts{"="}), "models");
  EXPECT_WRONG(with(&S::environment, Texts{"1A=secret"}), "environment");
  EXPECT_EQ(wrong(with(&S::environment, Texts{"1A=secret"})).find("secret"), std::string::npos);
}

TEST(Containers, NamesAndPortsAreTheirOwn) {
  Settings settings;
  settings.endpoints.push_back({.name = "Remote", .binding = "openai", .url = "http://h"});
  settings.docker.containers = {boxed(), boxed(), boxed()};
  settings.docker.containers[1].name = "BOXED";
  settings.docker.containers[2].name = "remote";
  settings.docker.containers[0].host_port = settings.docker.containers[2].host_port = 11434;
  settings.docker.socket = "docker.sock";
  std::string all;
  for (const auto& each : validate_containers(settings)) all += each.path + "\n";
  EXPECT_EQ(all,
            "docker.socket\ndocker.containers[1].name\ndocker.containers[2].name\n"
            "docker.containers[2].host_port\n");
}

TEST(Containers, ProblemsHaveTheirLine) {
  auto found = loaded(
      "docker:\n  containers:\n    - name: a1\n      image: x\n      port: 80\n"
      "      gpus: many\n");
  ASSERT_FALSE(found);
  EXPECT_TRUE(found.error().message.starts_with("c.yaml:6: docker.containers[0].gpus: "))
      << found.error().message;
}

TEST(Containers, AreEndpointsThatRoutesMayName) {
  auto found = loaded(
      "docker:\n  containers:\n    - {name: a1, image: x, port: 80, models: [m]}\n"
      "routes:\n  - {name: r, targets: [{endpoint: a1, model: m}]}\n");
  ASSERT_TRUE(found) << found.error().message;
  auto all = with_containers(found->settings);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].name, "a1");
  auto container = boxed();
  container.capacity = 7;
  container.device = "cpu";
  container.memory = 5;
  auto endpoint = endpoint_of(container, 4000);
  EXPECT_EQ(endpoint.url, "http://127.0.0.1:4000/v1");
  EXPECT_EQ(endpoint.capacity, 7u);
  EXPECT_EQ(endpoint.device, "cpu");
  EXPECT_EQ(endpoint.memory, 5u);
  container.host_port = 11434;
  EXPECT_EQ(endpoint_of(container, 0).url, "http://127.0.0.1:11434/v1");
}

TEST(Containers, TheExampleOfTheDocsIsRight) {
  std::ifstream file(test::source_file("docs/examples/local-stack.yaml"));
  std::ostringstream text;
  text << file.rdbuf();
  auto found = loaded(text.str());
  ASSERT_TRUE(found) << found.error().message;
  const auto& containers = found->settings.docker.containers;
  ASSERT_EQ(containers.size(), 3u);
  EXPECT_EQ(containers[0].host_port, 11434u);
  EXPECT_EQ(containers[2].host_port, 11436u);
}

}  // namespace
}  // namespace corral::config::containers_test
