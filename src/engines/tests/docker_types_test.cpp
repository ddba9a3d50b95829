// What the Docker Engine says, well and badly; the two forms of its streams; what it is asked to
// make.
#include "engines/docker/docker_types.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "engines/docker/container_judge.hpp"
#include "engines/docker/container_spec.hpp"
#include "engines/docker/docker_streams.hpp"

namespace corral::engines::docker::docker_types_test {
namespace {

TEST(DockerVersion, IsParsedAndAgreedOn) {
  EXPECT_EQ(parse_api_version("1.41"), (ApiVersion{1, 41}));
  for (auto wrong : {"", "1", "1.", ".1", "1.2.3", "a.b", "-1.4", "1.99999"}) {
    EXPECT_EQ(parse_api_version(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(to_string(*negotiate({1, 24}, {1, 41})), "1.41");
  EXPECT_EQ(to_string(*negotiate({1, 44}, {1, 52})), "1.47");
  EXPECT_EQ(negotiate({1, 12}, {1, 39}).error().code, ErrorCode::unsupported);
  EXPECT_EQ(negotiate({1, 90}, {1, 99}).error().code, ErrorCode::unsupported);
  EXPECT_EQ(parse_versions(R"({"ApiVersion":"1.43"})")->newest, (ApiVersion{1, 43}));
  for (auto wrong : {"", "[]", "{}", R"({"ApiVersion":7})", "OK"}) {
    EXPECT_EQ(parse_versions(wrong).error().code, ErrorCode::upstream) << wrong;
  }
}

TEST(DockerAnswers, AListIsReadWhateverElseIsInIt) {
  auto list = parse_containers(R"([
    {"Id":"a1","Names":["/boxed"],"Image":"x:1","State":"running","Status":"Up","Labels":
      {"corral.container":"boxed","n":7},"Unknown":{"deep":[1,2]}},
    {"Id":"b2","Names":[],"Labels":null}, {"Names":["/lost"]}, 7, null,
    {"Id":"c3","Names":[5],"State":5}])");
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 3u);
  EXPECT_EQ((*list)[0].name, "boxed");
  EXPECT_TRUE((*list)[0].running());
  EXPECT_EQ((*list)[0].labels, (Labels{{"corral.container", "boxed"}}));
  EXPECT_EQ((*list)[1].name, "");
  EXPECT_FALSE((*list)[2].running());
  for (auto wrong : {"", "{}", "null", "[", "\"x\""}) {
    EXPECT_EQ(parse_containers(wrong).error().code, ErrorCode::upstream) << wrong;
  }
}

TEST(DockerAnswers, AContainerHasItsPortsOnThisHost) {
  auto details = parse_container(R"({"Id":"a1","State":{"Running":true,"ExitCode":137,
    "OOMKilled":true,"Error":"two\nlines"},"Config":{"Labels":{"corral.spec":"d"}},
    "NetworkSettings":{"Ports":{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"36565"}],
    "53/udp":[{"HostPort":"53"}],"9/tcp":null,"10/tcp":[{"HostPort":"70000"},{"HostPort":8}],
    "x/tcp":[{"HostPort":"5"}]}}})");
  ASSERT_TRUE(details);
  EXPECT_EQ(details->host_ports, (std::map<unsigned, std::uint16_t>{{8080, 36565}}));
  EXPECT_TRUE(details->running);
  EXPECT_TRUE(details->out_of_memory);
  EXPECT_EQ(details->exit_code, 137);
  EXPECT_EQ(details->error, "two lines");
  auto bare = parse_container(R"({"Id":"a1","State":7,"Config":null,"NetworkSettings":[]})");
  ASSERT_TRUE(bare);
  EXPECT_FALSE(bare->running);
  for (auto wrong : {"", "{}", "[]", R"({"Id":""})", R"({"Id":3})"}) {
    EXPECT_EQ(parse_container(wrong).error().code, ErrorCode::upstream) << wrong;
  }
  EXPECT_EQ(parse_created(R"({"Id":"x"})"), "x");
  EXPECT_FALSE(parse_created("{}"));
}

TEST(DockerAnswers, UsageIsWithoutTheCache) {
  auto usage = parse_usage(R"({"memory_stats":{"usage":3000,"limit":9000,"stats":
    {"total_inactive_file":1000}},"cpu_stats":{"cpu_usage":{"total_usage":2500000000}}})");
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->memory, 2000u);
  EXPECT_EQ(usage->memory_limit, 9000u);
  EXPECT_DOUBLE_EQ(usage->cpu_seconds, 2.5);
  auto odd = parse_usage(R"({"memory_stats":{"usage":10,"stats":{"inactive_file":1e300}},
    "cpu_stats":{"cpu_usage":{"total_usage":-5}}})");
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->memory, 0u);
  EXPECT_EQ(odd->cpu_seconds, 0);
  EXPECT_FALSE(parse_usage("[]"));
}

TEST(DockerAnswers, EventsAndErrors) {
  auto event = parse_event(R"({"Action":"die","Actor":{"ID":"a","Attributes":{"name":"boxed"}}})");
  ASSERT_TRUE(event);
  EXPECT_EQ(event->action + event->id + event->name, "dieaboxed");
  EXPECT_TRUE(parse_event("{}"));
  EXPECT_FALSE(parse_event("7"));
  EXPECT_EQ(error_message(R"({"message":"no\nsuch"})"), "no such");
  EXPECT_EQ(error_message("<html>"), "");
  auto endless = error_message(R"({"message":")" + std::string(5'000, 'x') + R"("})");
  EXPECT_LT(endless.size(), 700u);
}

TEST(DockerImages, AreTakenApart) {
  auto parts = [](std::string_view text) {
    auto image = parse_image(text);
    return image.name + " " + image.tag;
  };
  EXPECT_EQ(parts("ollama/ollama"), "ollama/ollama latest");
  EXPECT_EQ(parts("ollama/ollama:0.6"), "ollama/ollama 0.6");
  EXPECT_EQ(parts("localhost:5000/x"), "localhost:5000/x latest");
  EXPECT_EQ(parts("localhost:5000/x:1"), "localhost:5000/x 1");
  EXPECT_EQ(parts("a/x@sha256:00"), "a/x sha256:00");
  EXPECT_EQ(parts("h:5/a/x:1@sha256:00"), "h:5/a/x sha256:00");
}

TEST(DockerPull, SumsItsLayers) {
  PullMeter meter;
  EXPECT_TRUE(meter.take(R"({"status":"Pulling from x","id":"1"})"));
  EXPECT_TRUE(meter.take(
      R"({"status":"Downloading","progressDetail":{"current":30,"total":100},"id":"a"})"));
  EXPECT_TRUE(meter.take(
      R"({"status":"Downloading","progressDetail":{"current":90,"total":50},"id":"b"})"));
  EXPECT_EQ(meter.done(), 80u);  // never more than there is
  EXPECT_EQ(meter.total(), 150u);
  EXPECT_EQ(meter.status(), "Downloading");
  EXPECT_TRUE(meter.take(R"({"status":"Extracting","progressDetail":{"current":1},"id":"a"})"));
  EXPECT_TRUE(meter.take(R"({"status":"Pull complete","progressDetail":{},"id":"a"})"));
  EXPECT_EQ(meter.done(), 150u);
  EXPECT_TRUE(meter.take(R"({"status":7,"id":{},"progressDetail":"x"})"));
  EXPECT_FALSE(meter.take("7"));
  EXPECT_EQ(meter.take(R"({"error":"manifest unknown"})").error().code, ErrorCode::not_found);
  auto away = meter.take(R"({"errorDetail":{"message":"dial tcp: no route"},"error":"x"})");
  EXPECT_EQ(away.error().code, ErrorCode::upstream);
  EXPECT_NE(away.error().message.find("no route"), std::string::npos);
}

TEST(DockerPull, HostileLayersAreBounded) {
  PullMeter meter;
  for (std::size_t i = 0; i < PullMeter::kMostLayers + 100; ++i) {
    auto line = R"({"status":"Downloading","progressDetail":{"current":1,"total":1},"id":")" +
                std::to_string(i) + R"("})";
    ASSERT_TRUE(meter.take(line));
  }
  EXPECT_EQ(meter.total(), PullMeter::kMostLayers);
}

TEST(DockerJsonStream, CutsAnywhere) {
  const std::string text = "{\"a\":\"}{\\\"\"}\r\n{\"b\":[{\"c\":1}]}{}\n";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    JsonStream stream;
    std::string seen;
    for (std::size_t at = 0; at < text.size(); at += size) {
      auto fed = stream.feed(std::string_view(text).substr(at, size),
                             [&](std::string_view object) -> Result<void> {
                               seen += std::string(object) + "|";
                               return {};
                             });
      ASSERT_TRUE(fed);
    }
    EXPECT_EQ(seen, "{\"a\":\"}{\\\"\"}|{\"b\":[{\"c\":1}]}|{}|");
    EXPECT_TRUE(stream.between());
  }
}

TEST(DockerJsonStream, RefusesRubbishAndEndlessObjects) {
  auto ignore = [](std::string_view) -> Result<void> { return {}; };
  EXPECT_EQ(JsonStream().feed("<html>", ignore).error().code, ErrorCode::upstream);
  JsonStream endless;
  auto fed = endless.feed("{\"a\":\"" + std::string(JsonStream::kLongest, 'x'), ignore);
  EXPECT_EQ(fed.error().code, ErrorCode::too_large);
  JsonStream half;
  EXPECT_TRUE(half.feed("{\"a\":", ignore));
  EXPECT_FALSE(half.between());
  auto refuse = [](std::string_view) -> Result<void> { return fail(ErrorCode::upstream, "no"); };
  EXPECT_FALSE(JsonStream().feed("{}", refuse));
}

TEST(DockerFrames, AreTakenApartWhereverTheyAreCut) {
  std::string text(
      "\x01\0\0\0\0\0\0\x03"
      "abc",
      11);
  text += std::string("\x02\0\0\0\0\0\0\0", 8);  // empty
  text += std::string(
      "\x02\0\0\0\0\0\0\x02"
      "de",
      10);
  for (std::size_t size = 1; size <= text.size(); ++size) {
    FrameSplitter frames;
    std::string out, err;
    for (std::size_t at = 0; at < text.size(); at += size) {
      auto fed = frames.feed(std::string_view(text).substr(at, size),
                             [&](LogStream from, std::string_view part) {
                               (from == LogStream::out ? out : err) += part;
                             });
      ASSERT_TRUE(fed);
    }
    EXPECT_EQ(out + "|" + err, "abc|de");
  }
}

TEST(DockerFrames, ALyingLengthTakesNoMemory) {
  FrameSplitter frames;
  std::size_t bytes = 0;
  auto count = [&](LogStream, std::string_view part) { bytes += part.size(); };
  EXPECT_TRUE(frames.feed(std::string("\x01\0\0\0\xFF\xFF\xFF\xFF", 8), count));
  EXPECT_TRUE(frames.feed("hello", count));
  EXPECT_EQ(bytes, 5u);
  EXPECT_EQ(FrameSplitter().feed("plain text of a terminal", count).error().code,
            ErrorCode::upstream);
}

config::ContainerSettings settings() {
  config::ContainerSettings wanted;
  wanted.name = "boxed";
  wanted.image = "x:1";
  return wanted;
}

boost::json::value made(const config::ContainerSettings& wanted) {
  return *json::parse(make_spec(wanted, {{"TOKEN", "secret"}, {"OTHER", "no"}}).body);
}

TEST(DockerSpec, AsksForLittleByItself) {
  auto body = made(settings());
  EXPECT_EQ(json::serialize(body.at("HostConfig")),
            R"({"PortBindings":{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]},)"
            R"("RestartPolicy":{"Name":"no"},"SecurityOpt":["no-new-privileges"]})");
  EXPECT_EQ(json::serialize(body.at("Env")), "[]");
  EXPECT_FALSE(body.as_object().contains("Cmd"));
}

TEST(DockerSpec, CarriesLimitsMountsAndAccelerators) {
  auto wanted = settings();
  wanted.command = {"--model", "x"};
  wanted.environment = {"A=b=c", "TOKEN", "NOT_SET"};
  wanted.mounts = {"/models:/m:ro"};
  wanted.host_port = 11434;
  wanted.memory = 1 << 30;
  wanted.cpus = 1.5;
  wanted.gpus = "all";
  auto body = made(wanted);
  EXPECT_EQ(json::serialize(body.at("Env")), R"(["A=b=c","TOKEN=secret"])");
  EXPECT_EQ(json::serialize(body.at("Cmd")), R"(["--model","x"])");
  const auto& host = body.at("HostConfig");
  EXPECT_EQ(json::serialize(host.at("Binds")), R"(["/models:/m:ro"])");
  EXPECT_EQ(host.at("Memory").as_int64(), 1 << 30);
  EXPECT_EQ(host.at("NanoCpus").as_int64(), 1'500'000'000);
  EXPECT_EQ(json::serialize(host.at("DeviceRequests")),
            R"([{"Count":-1,"Capabilities":[["gpu"]]}])");
  EXPECT_EQ(json::serialize(host.at("PortBindings")),
            R"({"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"11434"}]})");
  wanted.gpus = "2";
  EXPECT_EQ(made(wanted).at("HostConfig").at("DeviceRequests").at(0).at("Count").as_int64(), 2);
}

TEST(DockerSpec, TheDigestIsOfWhatTheContainerIsMadeOf) {
  auto digest = make_spec(settings(), {}).digest;
  EXPECT_EQ(made(settings()).at("Labels").at("corral.spec").as_string(), digest);
  EXPECT_EQ(made(settings()).at("Labels").at("corral.container").as_string(), "boxed");
  auto other = settings();
  other.models = {"m"};
  other.capacity = 9;
  other.api_key.value = "key";
  EXPECT_EQ(make_spec(other, {}).digest, digest);
  other.memory = 1 << 30;
  EXPECT_NE(make_spec(other, {}).digest, digest);
  auto passes_on = settings();
  passes_on.environment = {"TOKEN"};
  EXPECT_NE(make_spec(passes_on, {{"TOKEN", "1"}}).digest,
            make_spec(passes_on, {{"TOKEN", "2"}}).digest);
}

TEST(ContainerJudge, SaysWhyItEndedAndWhetherToTryAgain) {
  LogTail tail;
  tail.add("last words");
  ContainerDetails details;
  details.exit_code = 137;
  auto killed = end_reason(details, tail);
  EXPECT_NE(killed.message.find("signal 9"), std::string::npos);
  EXPECT_EQ(killed.cause, "last words");
  details.out_of_memory = true;
  EXPECT_NE(end_reason(details, tail).message.find("more memory than it may"), std::string::npos);
  details = {};
  details.error = "no such file";
  EXPECT_NE(end_reason(details, tail).message.find("no such file"), std::string::npos);

  using Kind = ContainerActionKind;
  auto fault = [](Kind step, ErrorCode code) { return fault_of(step, fail(code, "x")); };
  EXPECT_EQ(fault(Kind::look, ErrorCode::unavailable), ContainerFault::later);
  EXPECT_EQ(fault(Kind::pull, ErrorCode::not_found), ContainerFault::permanent);
  EXPECT_EQ(fault(Kind::pull, ErrorCode::upstream), ContainerFault::later);
  EXPECT_EQ(fault(Kind::start, ErrorCode::upstream), ContainerFault::crash);
  EXPECT_EQ(fault(Kind::start, ErrorCode::not_found), ContainerFault::later);
  EXPECT_EQ(fault(Kind::create, ErrorCode::invalid_argument), ContainerFault::permanent);
  EXPECT_EQ(fault(Kind::create, ErrorCode::conflict), ContainerFault::crash);
}

}  // namespace
}  // namespace corral::engines::docker::docker_types_test
