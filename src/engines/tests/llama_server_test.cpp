#include "engines/llama_server.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "sys/process.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::engines::llama_server_test {
namespace {

InstanceSpec spec() {
  InstanceSpec spec;
  spec.name = "tiny";
  spec.model_file = "/models/tiny.gguf";
  spec.context = 4096;
  spec.slots = 4;
  return spec;
}

// The value after `flag`; empty if there is none. A flag must not come twice.
std::string value_of(const std::vector<std::string>& arguments, const std::string& flag) {
  EXPECT_LE(std::ranges::count(arguments, flag), 1) << flag;
  auto at = std::ranges::find(arguments, flag);
  return at == arguments.end() || at + 1 == arguments.end() ? "" : *(at + 1);
}

bool has(const std::vector<std::string>& arguments, const std::string& flag) {
  return std::ranges::find(arguments, flag) != arguments.end();
}

TEST(LlamaServerArguments, ASpreadModelNamesItsDevicesAndTheirLayers) {
  InstanceSpec two = spec();
  two.device = "CUDA1,CUDA0";
  two.device_shares = "13,20";
  two.gpu_layers = 33;
  auto arguments = llama_server_arguments(two, 1, 8).value();
  EXPECT_EQ(value_of(arguments, "-dev"), "CUDA1,CUDA0");
  EXPECT_EQ(value_of(arguments, "-sm"), "layer");
  EXPECT_EQ(value_of(arguments, "-ts"), "13,20");
  EXPECT_EQ(value_of(arguments, "-ngl"), "33");
  EXPECT_FALSE(has(llama_server_arguments(spec(), 1, 8).value(), "-ts"));
}

TEST(LlamaServerArguments, RpcServersComeBeforeTheDevicesThatTheyAre) {
  InstanceSpec far = spec();
  far.rpc = {"a:1", "b:2"};
  far.device = "RPC0,RPC1";
  auto arguments = llama_server_arguments(far, 1, 8).value();
  EXPECT_EQ(value_of(arguments, "--rpc"), "a:1,b:2");
  EXPECT_LT(std::ranges::find(arguments, "--rpc"), std::ranges::find(arguments, "-dev"));
}

TEST(LlamaServerArguments, AProjectorGoesWhereTheModelIs) {
  InstanceSpec sees = spec();
  EXPECT_FALSE(has(llama_server_arguments(sees, 1, 8).value(), "--mmproj"));
  sees.projector = "/models/mmproj.gguf";
  auto arguments = llama_server_arguments(sees, 1, 8).value();
  EXPECT_EQ(value_of(arguments, "--mmproj"), "/models/mmproj.gguf");
  EXPECT_TRUE(has(arguments, "--no-mmproj-offload"));
  sees.device = "CUDA1,CUDA0";
  arguments = llama_server_arguments(sees, 1, 8).value();
  EXPECT_EQ(value_of(arguments, "--mmproj-device"), "CUDA0");
  EXPECT_FALSE(has(arguments, "--no-mmproj-offload"));
  sees.rpc = {"a:1"};
  EXPECT_TRUE(has(llama_server_arguments(sees, 1, 8).value(), "--no-mmproj-offload"));
}

TEST(LlamaServerArguments, ThreadsStayWithinTheProcessorsAllowed) {
  InstanceSpec few = spec();
  few.settings.cpu_limit = 1.5;
  EXPECT_EQ(value_of(llama_server_arguments(few, 1, 8).value(), "-t"), "2");
}

TEST(LlamaServerArguments, EverythingIsSaidExplicitly) {
  auto arguments = llama_server_arguments(spec(), 4711, 8).value();
  EXPECT_EQ(value_of(arguments, "-m"), "/models/tiny.gguf");
  EXPECT_EQ(value_of(arguments, "--alias"), "tiny");
  EXPECT_EQ(value_of(arguments, "--host"), "127.0.0.1");
  EXPECT_EQ(value_of(arguments, "--port"), "4711");
  EXPECT_EQ(value_of(arguments, "-c"), "16384");
  EXPECT_EQ(value_of(arguments, "-np"), "4");
  EXPECT_EQ(value_of(arguments, "-t"), "8");
  EXPECT_EQ(value_of(arguments, "-b"), "256");
  EXPECT_EQ(value_of(arguments, "-ub"), "256");
  EXPECT_EQ(value_of(arguments, "--fit"), "off");
  EXPECT_EQ(value_of(arguments, "--cache-ram"), "0");
  EXPECT_EQ(value_of(arguments, "--cors-origins"), "localhost");
  EXPECT_EQ(value_of(arguments, "--threads-http"), "68");
  EXPECT_EQ(value_of(arguments, "-lv"), "3");  // 5 would log prompts
  for (const char* flag : {"--no-ui", "--metrics", "--no-cors-credentials", "--offline"})
    EXPECT_TRUE(has(arguments, flag)) << flag;
  EXPECT_FALSE(has(arguments, "--embeddings"));
  EXPECT_FALSE(has(arguments, "--kv-unified"));
  EXPECT_FALSE(has(arguments, "--pooling"));
}

TEST(LlamaServerArguments, SettingsWinOverTheHost) {
  InstanceSpec custom = spec();
  custom.settings.threads = 3;
  custom.settings.batch = 64;
  custom.settings.extra_arguments = {"--flash-attn", "off"};
  auto arguments = llama_server_arguments(custom, 1, 8).value();
  EXPECT_EQ(value_of(arguments, "-t"), "3");
  EXPECT_EQ(value_of(arguments, "-ub"), "64");
  EXPECT_EQ(arguments.back(), "off");  // last, so that they win over ours
}

TEST(LlamaServerArguments, ContextIsASlotsTimesTheNumberOfSlots) {
  InstanceSpec odd = spec();
  odd.context = 1000;
  odd.slots = 3;
  EXPECT_EQ(total_context(odd), 3072u);  // 1000 is rounded up to 1024, as the engine does
  odd.context = 256;
  odd.slots = 1;
  EXPECT_EQ(total_context(odd), 256u);
  odd.context = 0;
  odd.slots = 0;
  EXPECT_EQ(total_context(odd), 256u);
  odd.context = 4'000'000'000u;
  odd.slots = 100;
  EXPECT_EQ(total_context(odd), 400'000'000'000u);  // no wrap
  EXPECT_EQ(value_of(llama_server_arguments(odd, 1, 0).value(), "-t"), "1");
}

TEST(LlamaServerArguments, Embeddings) {
  InstanceSpec embedding = spec();
  embedding.purpose = Purpose::embedding;
  embedding.context = 512;
  auto arguments = llama_server_arguments(embedding, 1, 2).value();
  EXPECT_TRUE(has(arguments, "--embeddings"));
  EXPECT_TRUE(has(arguments, "--kv-unified"));
  EXPECT_EQ(value_of(arguments, "--pooling"), "mean");
  EXPECT_EQ(value_of(arguments, "-ub"), "512");  // a whole input in one step

  embedding.own_pooling = true;
  embedding.context = 100;
  arguments = llama_server_arguments(embedding, 1, 2).value();
  EXPECT_FALSE(has(arguments, "--pooling"));
  EXPECT_EQ(value_of(arguments, "-ub"), "256");
}

TEST(LlamaServerArguments, ACommaMakesNoSecondAlias) {
  InstanceSpec comma = spec();
  comma.name = "a,b";
  EXPECT_EQ(value_of(llama_server_arguments(comma, 1, 1).value(), "--alias"), "a_b");
}

TEST(LlamaServerArguments, WhatIsOursToSetIsRefused) {
  for (const char* flag : {"--port", "--host", "-m", "--api-key", "--api-key=x", "-lv", "--verbose",
                           "--log-file", "--tools", "--reuse-port", "-hf", "-c"}) {
    InstanceSpec bad = spec();
    bad.settings.extra_arguments = {"--flash-attn", "off", flag, "hunter2"};
    auto arguments = llama_server_arguments(bad, 1, 1);
    ASSERT_FALSE(arguments) << flag;
    EXPECT_EQ(arguments.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(arguments.error().param, "engines.llama_server.extra_arguments");
    EXPECT_EQ(arguments.error().describe().find("hunter2"), std::string::npos);
  }
}

TEST(LlamaServerEnvironment, NothingSteersTheEngineAndNoSecretOfOursIsHandedOn) {
  std::map<std::string, std::string> inherited{
      {"PATH", "/bin"},           {"HOME", "/root"},        {"LANG", "C"},
      {"LLAMA_ARG_PORT", "1"},    {"LLAMA_API_KEY", "x"},   {"AIP_MODE", "PREDICTION"},
      {"HF_TOKEN", "x"},          {"CORRAL_SERVER_X", "1"}, {"OPENAI_API_KEY", "x"},
      {"AWS_SECRET_ACCESS", "x"}, {"DB_PASSWORD", "x"},     {"CUDA_VISIBLE_DEVICES", "0"},
      {"GGML_NO_BACKTRACE", "0"}};
  auto environment = llama_server_environment(inherited, config::Secret{"generated"});
  EXPECT_EQ(environment, (std::map<std::string, std::string>{{"PATH", "/bin"},
                                                             {"HOME", "/root"},
                                                             {"LANG", "C"},
                                                             {"CUDA_VISIBLE_DEVICES", "0"},
                                                             {"CUDA_DEVICE_ORDER", "PCI_BUS_ID"},
                                                             {"GGML_NO_BACKTRACE", "1"},
                                                             {"LLAMA_API_KEY", "generated"}}));
}

TEST(LlamaServerArguments, TheCpuIsNamedToo) {
  auto arguments = llama_server_arguments(spec(), 1, 8).value();
  EXPECT_EQ(value_of(arguments, "-dev"), "none");
  EXPECT_EQ(value_of(arguments, "-ngl"), "0");
  EXPECT_EQ(value_of(arguments, "-ctk"), "f16");
  EXPECT_EQ(value_of(arguments, "-ctv"), "f16");
  EXPECT_EQ(value_of(arguments, "--ctx-checkpoints"), "2");
  EXPECT_FALSE(has(arguments, "--no-repack"));
}

TEST(LlamaServerArguments, WhatThePlanDecided) {
  InstanceSpec planned = spec();
  planned.device = "CUDA1";
  planned.gpu_layers = 20;
  planned.cache_type = "q8_0";
  planned.checkpoints = 5;
  planned.repack = false;
  auto arguments = llama_server_arguments(planned, 1, 8).value();
  EXPECT_EQ(value_of(arguments, "-dev"), "CUDA1");
  EXPECT_EQ(value_of(arguments, "-ngl"), "20");
  EXPECT_EQ(value_of(arguments, "-ctk"), "q8_0");
  EXPECT_EQ(value_of(arguments, "-ctv"), "q8_0");
  EXPECT_EQ(value_of(arguments, "--ctx-checkpoints"), "5");
  EXPECT_TRUE(has(arguments, "--no-repack"));
}

class FindLlamaServerTest : public testing::Test {
 protected:
  FindLlamaServerTest() : path_(::getenv("PATH")) {
    ::setenv("PATH", (folder_ / "path").c_str(), 1);
  }
  ~FindLlamaServerTest() override { ::setenv("PATH", path_.c_str(), 1); }
  sys::Path program(const sys::Path& name) {
    sys::Path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << "#!/bin/sh\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }
  Result<sys::Path> find(const std::string& configured = "") {
    config::LlamaServerSettings settings;
    settings.path = configured;
    return find_llama_server(*files_, settings, folder_ / "cache");
  }
  std::string path_;
  sys::TempFolder own_;
  sys::Path folder_ = own_.path();
  std::unique_ptr<sys::Files> files_ = sys::real_files();
};

TEST_F(FindLlamaServerTest, NothingAnywhereSaysWhatToDo) {
  auto found = find();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::not_found);
  EXPECT_NE(found.error().hint_text.find("engines.llama_server.path"), std::string::npos);
}

TEST_F(FindLlamaServerTest, ConfiguredThenPathThenTheNewestInTheCache) {
  sys::Path old_build = program("cache/engine/v2/bin/llama-server");
  sys::Path new_build = program("cache/engine/v1/bin/llama-server");
  std::filesystem::create_directories(folder_ / "cache/engine/v3/bin/llama-server");  // a folder
  program("cache/engine/v4/other");
  auto now = std::filesystem::last_write_time(new_build);
  std::filesystem::last_write_time(old_build, now - std::chrono::hours(1));
  EXPECT_EQ(find().value(), new_build);

  sys::Path on_path = program("path/llama-server");
  EXPECT_EQ(find().value(), on_path);

  sys::Path configured = program("mine/engine");
  EXPECT_EQ(find(configured.string()).value(), configured);
  sys::Path named = program("path/my-llama");
  EXPECT_EQ(find("my-llama").value(), named);
}

TEST_F(FindLlamaServerTest, AWrongConfiguredPathIsNotPaperedOver) {
  program("path/llama-server");
  for (const std::string& wrong :
       {(folder_ / "missing").string(), std::string("no-such-engine"), folder_.string()}) {
    auto found = find(wrong);
    ASSERT_FALSE(found) << wrong;
    EXPECT_EQ(found.error().code, ErrorCode::not_found);
    EXPECT_EQ(found.error().param, "engines.llama_server.path");
  }
}

}  // namespace
}  // namespace corral::engines::llama_server_test
