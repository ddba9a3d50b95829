// What references mean, which files belong together, URLs, records of pulls.
#include <gtest/gtest.h>

#include "models/pull_record.hpp"
#include "models/sources/hugging_face.hpp"
#include "models/sources/ollama.hpp"
#include "models/sources/quantization.hpp"
#include "models/sources/sources.hpp"
#include "models/web.hpp"

namespace corral::models::sources_test {
namespace {

using Paths = std::vector<std::string>;

sys::Files* files() {
  static const auto kReal = sys::real_files();
  return kReal.get();
}

TEST(Quantization, IsReadFromNames) {
  const std::pair<const char*, const char*> cases[] = {
      {"Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M"},
      {"model.q8_0.gguf", "Q8_0"},
      {"x/y/Qwen3-UD-Q4_K_XL-00001-of-00002.gguf", "UD-Q4_K_XL"},
      {"gpt-oss-20b-mxfp4.gguf", "MXFP4"},
      {"model-IQ2_XXS.gguf", "IQ2_XXS"},
      {"model-TQ1_0.gguf", "TQ1_0"},
      {"model-BF16.gguf", "BF16"},
      {"model-f16.gguf", "F16"},
      {"model-F32.gguf", "F32"},
      {"Quick-7B.gguf", ""},
      {"Q-model.gguf", ""},
      {"plain.gguf", ""},
  };
  for (auto [name, expected] : cases) EXPECT_EQ(quantization_of(name), expected) << name;
}

TEST(Quantization, IsOrderedByItsBits) {
  const char* rising[] = {"TQ1_0",  "IQ2_XXS", "IQ2_M", "Q3_K_S", "Q3_K_M", "Q4_0",
                          "Q4_K_M", "Q5_K_M",  "Q6_K",  "Q8_0",   "BF16",   "F32"};
  for (std::size_t i = 1; i < std::size(rising); ++i) {
    EXPECT_LT(*bits_of(rising[i - 1]), *bits_of(rising[i])) << rising[i];
  }
  EXPECT_FALSE(bits_of("nonsense"));
  EXPECT_TRUE(bits_of("ud-q4_k_xl"));
  EXPECT_TRUE(bits_of("MXFP4"));
}

TEST(FileGroups, PartsBelongTogetherAndIncompleteOnesAreLeftOut) {
  Paths paths = {"README.md",
                 "b/big-Q8_0-00002-of-00002.gguf",
                 "b/big-Q8_0-00001-of-00002.gguf",
                 "torn-Q4_0-00001-of-00003.gguf",
                 "one-Q4_K_M.gguf",
                 "mmproj-one-f16.gguf",
                 "mmproj-one-F32.gguf",
                 "mmproj-one-BF16.gguf"};
  auto files = group_files(paths);
  ASSERT_EQ(files.models.size(), 2u);
  EXPECT_EQ(files.projectors.size(), 3u);
  auto big = choose_group(files, paths, "q8_0");
  ASSERT_TRUE(big);
  EXPECT_EQ(big->files, (std::vector<std::size_t>{2, 1}));
  EXPECT_EQ(choose_group(files, paths, "b/big-Q8_0-00002-of-00002.gguf")->files.size(), 2u);
  EXPECT_EQ(choose_group(files, paths, "")->quantization, "Q4_K_M");
  EXPECT_EQ(choose_group(files, paths, "latest")->quantization, "Q4_K_M");
  EXPECT_EQ(choose_projector(files, paths), 5u);
  auto none = choose_group(files, paths, "Q2_K");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  EXPECT_NE(none.error().hint_text.find("Q8_0"), std::string::npos);
}

TEST(FileGroups, TheNearestIsChosenWhereTheDefaultLacks) {
  auto chosen = [](Paths paths) {
    auto group = choose_group(group_files(paths), paths, "");
    return group ? group->quantization : group.error().message;
  };
  EXPECT_EQ(chosen({"m-Q8_0.gguf", "m-Q5_K_M.gguf", "m-Q2_K.gguf"}), "Q5_K_M");
  EXPECT_EQ(chosen({"m-F16.gguf", "m-Q3_K_M.gguf"}), "Q3_K_M");
  EXPECT_EQ(chosen({"m-F32.gguf"}), "F32");
  EXPECT_EQ(chosen({"m.gguf"}), "");
  Paths two = {"a-Q4_K_M.gguf", "b-Q4_K_M.gguf"};
  EXPECT_EQ(choose_group(group_files(two), two, "").error().code, ErrorCode::conflict);
  EXPECT_EQ(choose_group(group_files(Paths{"x.bin"}), Paths{"x.bin"}, "").error().code,
            ErrorCode::not_found);
  EXPECT_FALSE(choose_projector({}, {}));
}

TEST(HubReferences, AreTakenApart) {
  auto plain = parse_hub_reference("owner/repo");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->repository, "owner/repo");
  EXPECT_EQ(plain->wanted, "");
  auto full = parse_hub_reference("owner/re.po-GGUF:Q4_K_M@refs/pr/1");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->wanted, "Q4_K_M");
  EXPECT_EQ(full->revision, "refs/pr/1");
  EXPECT_EQ(parse_hub_reference("o/r/sub/f-Q8_0.gguf")->wanted, "sub/f-Q8_0.gguf");
  for (const char* bad : {"", "owner", "/repo", "owner/", "../repo", "o/..", "o/r/x.txt", "o/r:",
                          "o/r@", "o/r/../x.gguf", "o/r/.hidden.gguf", "o o/r", "o/r/a//b.gguf"}) {
    EXPECT_FALSE(parse_hub_reference(bad)) << bad;
  }
}

TEST(RegistryReferences, AreTakenApart) {
  auto plain = parse_registry_reference("llama3.2");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->owner, "library");
  EXPECT_EQ(plain->tag, "latest");
  auto full = parse_registry_reference("me/llama:3b-q8_0");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->owner, "me");
  EXPECT_EQ(full->tag, "3b-q8_0");
  for (const char* bad : {"", ":x", "a:", "a/b/c", "../x", "a:b:c", "/a", "a/", "-a"}) {
    EXPECT_FALSE(parse_registry_reference(bad)) << bad;
  }
}

TEST(Urls, AreSplitAndResolved) {
  auto url = split_url("HTTPS://Host.Example:8443/a/b?c=d#e");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->origin, "https://host.example:8443");
  EXPECT_EQ(url->path, "/a/b?c=d");
  EXPECT_EQ(split_url("http://host?x=1")->path, "/?x=1");
  EXPECT_EQ(split_url("http://host")->path, "/");
  for (const char* bad : {"", "host/x", "ftp://host", "http://user:word@host", "http://ho st",
                          "http://host:0", "http://", "file:///etc/passwd", "http://h\n"}) {
    EXPECT_FALSE(split_url(bad)) << bad;
  }
  auto to = [](const char* location) { return *resolve_url("https://h:1/a/b?q", location); };
  EXPECT_EQ(to("https://other/x"), "https://other/x");
  EXPECT_EQ(to("//other/x"), "https://other/x");
  EXPECT_EQ(to("/x?u=http://y"), "https://h:1/x?u=http://y");
  EXPECT_EQ(to("c"), "https://h:1/a/c");
  EXPECT_EQ(*resolve_url("https://h", "c"), "https://h/c");
  EXPECT_FALSE(resolve_url("h", "c"));
  EXPECT_EQ(escape_path("a b/c/d"), "a%20b/c/d");
}

config::SourcesSettings settings() {
  config::SourcesSettings made;
  made.folders = {"lab=http://10.0.0.1:9000/models/", "other=https://models.example.org"};
  made.private_hosts = {"nas.local", "[fd00::1]:81", "10.1.1.1:5000"};
  return made;
}

TEST(WebTrust, IsForConfiguredSourcesAndNamedHosts) {
  Web web(settings(), std::chrono::seconds(1));
  auto trusts = [&](const char* url) { return web.trusts(split_url(url)->target); };
  EXPECT_TRUE(trusts("https://huggingface.co/x"));
  EXPECT_TRUE(trusts("http://10.0.0.1:9000/x"));
  EXPECT_FALSE(trusts("http://10.0.0.1:6379/x")) << "another port is another service";
  EXPECT_TRUE(trusts("http://NAS.local:1234/x"));
  EXPECT_TRUE(trusts("http://[fd00::1]:81/x"));
  EXPECT_FALSE(trusts("http://[fd00::1]:82/x"));
  EXPECT_TRUE(trusts("http://10.1.1.1:5000/"));
  EXPECT_FALSE(trusts("http://127.0.0.1/"));
}

TEST(SourcesOf, EachReferenceLeadsToItsSource) {
  auto sources = Sources::make(settings(), std::chrono::seconds(1), *files());
  ASSERT_TRUE(sources);
  auto find = [&](const char* reference) {
    auto found = (*sources)->find(reference);
    return found ? found->source->label() + "|" + found->reference : found.error().message;
  };
  EXPECT_EQ(find("hf:o/r:Q8_0"), "Hugging Face|o/r:Q8_0");
  EXPECT_EQ(find("hf.co/o/r"), "Hugging Face|o/r");
  EXPECT_EQ(find("https://huggingface.co/o/r/resolve/main/d/f.gguf?download=true"),
            "Hugging Face|o/r/d/f.gguf@main");
  EXPECT_EQ(find("https://huggingface.co/o/r/tree/v2"), "Hugging Face|o/r@v2");
  EXPECT_EQ(find("https://huggingface.co/o/r/"), "Hugging Face|o/r");
  EXPECT_EQ(find("llama3.2:3b"), "Ollama library|llama3.2:3b");
  EXPECT_EQ(find("ollama:me/x"), "Ollama library|me/x");
  EXPECT_EQ(find("me/x:1"), "Ollama library|me/x:1");
  EXPECT_EQ(find("lab/tiny"), "lab|tiny");
  EXPECT_EQ(find("registry.example.org/me/x:1"), "Ollama library|me/x:1");
  EXPECT_EQ(find("https://host/x.gguf"), "URL|https://host/x.gguf");
  for (const char* bad : {"", "  ", "a b", "a\nb", "\xff"}) {
    EXPECT_FALSE((*sources)->find(bad)) << bad;
  }
  EXPECT_EQ((*sources)->searchable().size(), 3u);
}

TEST(SourcesOf, WrongSettingsAreSaid) {
  for (const char* folder : {"lab", "=http://x", "a b=http://x", "lab=ftp://x", "lab="}) {
    config::SourcesSettings wrong;
    wrong.folders = {folder};
    EXPECT_FALSE(Sources::make(wrong, std::chrono::seconds(1), *files())) << folder;
  }
  config::SourcesSettings wrong;
  wrong.ollama = "nonsense";
  EXPECT_FALSE(Sources::make(wrong, std::chrono::seconds(1), *files()));
}

TEST(StatusErrors, SayWhatToThink) {
  net::Headers headers;
  headers.add("Retry-After", "7");
  auto code = [&](int status) { return status_error(status, headers, "x", "https://h/p").code; };
  EXPECT_EQ(code(404), ErrorCode::not_found);
  EXPECT_EQ(code(401), ErrorCode::unauthenticated);
  EXPECT_EQ(code(403), ErrorCode::forbidden);
  EXPECT_EQ(code(429), ErrorCode::rate_limited);
  EXPECT_EQ(code(503), ErrorCode::unavailable);
  EXPECT_EQ(code(418), ErrorCode::upstream);
  EXPECT_EQ(status_error(429, headers, "x", "bad").retry_after, std::chrono::seconds(7));
}

// --- records of pulls

PullRecord record() {
  PullRecord made;
  made.id = "pull-0123abcd";
  made.reference = "hf:o/r";
  made.name = "mine";
  made.author = "me";
  made.state = PullState::failed;
  made.error = "no";
  made.hint = "yes";
  made.started = sys::Wall(std::chrono::milliseconds(1234));
  RemoteModel model;
  model.name = "hf.co/o/r";
  model.origin = "hf:o/r";
  model.revision = "abc";
  model.license = "mit";
  model.files = {
      {FileRole::weights, "w.gguf", "https://h/w.gguf", 5, "sha256:" + std::string(64, 'a')},
      {FileRole::license, "l", "https://h/l", std::nullopt, ""}};
  made.model = model;
  return made;
}

TEST(PullRecords, ComeBackAsTheyWere) {
  auto made = record();
  auto read = parse_pull_record(to_text(made));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(to_text(*read), to_text(made));
  EXPECT_EQ(read->model->files[1].bytes, std::nullopt);
  made.state = PullState::running;
  made.model.reset();
  EXPECT_EQ(parse_pull_record(to_text(made))->state, PullState::queued);
}

TEST(PullRecords, AlteredOnesAreRefused) {
  std::string good = to_text(record());
  auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  for (const auto& bad :
       {std::string(), std::string("[]"), good.substr(0, good.size() / 2),
        with("\"corral_pull\": 1", "\"corral_pull\": 2"), with("pull-0123abcd", "../../x"),
        with("\"failed\"", "\"done\""), with("w.gguf", "../w.gguf"), with("sha256:aa", "sha256:zz"),
        with("\"weights\"", "\"boss\""), with("hf:o/r", "")}) {
    EXPECT_FALSE(parse_pull_record(bad)) << bad;
  }
}

TEST(PullRecords, StatesHaveNames) {
  for (auto state : {PullState::queued, PullState::running, PullState::paused, PullState::succeeded,
                     PullState::failed, PullState::cancelled}) {
    EXPECT_NE(to_string(state), "unknown");
  }
  EXPECT_TRUE(is_finished(PullState::cancelled));
  EXPECT_FALSE(is_finished(PullState::failed));
  EXPECT_TRUE(is_pull_id("pull-0123abcd"));
  EXPECT_FALSE(is_pull_id("pull-0123ABCD"));
  EXPECT_FALSE(is_pull_id("pull-0123abcde"));
}

TEST(FileNames, TricksAreRefused) {
  for (const char* good : {"a.gguf", "A b-c_d.gguf", "Ünï.gguf"}) {
    EXPECT_TRUE(check_file_name(good)) << good;
  }
  for (const char* bad : {"", ".", "..", ".x", "a/b", "a\\b", "a\nb", "\xff"}) {
    EXPECT_FALSE(check_file_name(bad)) << bad;
  }
  EXPECT_FALSE(check_file_name(std::string(300, 'a')));
  EXPECT_FALSE(check_file_path("a/../b"));
  EXPECT_FALSE(check_file_path("/a"));
  EXPECT_TRUE(check_file_path("a/b.gguf"));
  EXPECT_EQ(digest_of_hex(std::string(64, 'A')), "sha256:" + std::string(64, 'a'));
  EXPECT_EQ(digest_of_hex("abc"), "");
}

}  // namespace
}  // namespace corral::models::sources_test
