#include "models/gguf.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "models/gguf_header.hpp"
#include "models/gguf_types.hpp"
#include "models/tests/gguf_writer.hpp"
#include "models/tests/memory_files.hpp"

namespace corral::models::gguf_test {
namespace {

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

Result<GgufMetadata> read(const std::string& bytes, KeepTensors keep = KeepTensors::no) {
  return read_gguf(MemoryReadable(bytes), keep);
}

std::string error_of(const std::string& bytes) {
  const auto result = read(bytes);
  return result ? "no error" : result.error().describe();
}

bool says(const std::string& bytes, std::string_view part) {
  const std::string error = error_of(bytes);
  if (error.find(part) != std::string::npos) return true;
  ADD_FAILURE() << "wanted: " << part << "\n   got: " << error;
  return false;
}

TEST(Gguf, ReadsWhatAModelSaysOfItself) {
  const auto model = read(tiny_llama().file());
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ(model->version, 3u);
  EXPECT_EQ(model->architecture, "llama");
  EXPECT_EQ(model->name, "Tiny");
  EXPECT_EQ(model->size_label, "20K");
  EXPECT_EQ(model->license, "apache-2.0");
  EXPECT_EQ(model->quantization, "Q8_0");
  EXPECT_EQ(model->chat_template, "{{ messages }}");
  EXPECT_EQ(model->tokenizer, "llama");
  EXPECT_EQ(model->pooling, "");
  EXPECT_EQ(model->vocabulary, 5u);
  EXPECT_EQ(model->context_length, 2048u);
  EXPECT_EQ(model->embedding_length, 64u);
  EXPECT_EQ(model->feed_forward_length, 128u);
  EXPECT_EQ(model->blocks, 2u);
  EXPECT_EQ(model->heads, 4u);
  EXPECT_EQ(model->kv_heads, (std::vector<std::uint32_t>{2, 2}));
  EXPECT_EQ(model->key_length, 16u);
  EXPECT_EQ(model->value_length, 16u);
  EXPECT_EQ(model->parameters, 64u * 5 + 64 * 64 + 64);
  EXPECT_EQ(model->tensor_bytes, 340u + 4352 + 256);
  EXPECT_EQ(model->tensor_count, 3u);
  EXPECT_EQ(model->split.count, 1u);
  ASSERT_EQ(model->types.size(), 2u);
  EXPECT_EQ(model->types[0].type, "Q8_0");
  EXPECT_EQ(model->types[0].tensors, 2u);
  EXPECT_EQ(model->types[0].bytes, 4692u);
  EXPECT_EQ(model->types[1].type, "F32");
  EXPECT_TRUE(model->tensors.empty());
}

TEST(Gguf, KeepsTensorsWhenAsked) {
  const std::string file = tiny_llama().file();
  const auto model = read(file, KeepTensors::yes);
  ASSERT_TRUE(model);
  ASSERT_EQ(model->tensors.size(), 3u);
  EXPECT_EQ(model->tensors[1].name, "blk.0.attn_q.weight");
  EXPECT_EQ(model->tensors[1].type, "Q8_0");
  EXPECT_EQ(model->tensors[1].shape, (std::vector<std::uint64_t>{64, 64}));
  EXPECT_EQ(model->tensors[1].bytes, 4352u);
  EXPECT_EQ(model->tensors[2].offset + 256, file.size());
}

TEST(Gguf, ReadsVersionTwoAndEveryKindOfNumber) {
  GgufWriter writer;
  writer.version = 2;
  writer.value("llama.context_length", 10, GgufWriter::raw<std::uint64_t>(4096))
      .value("llama.block_count", 0, GgufWriter::raw<std::uint8_t>(3))
      .value("llama.embedding_length", 2, GgufWriter::raw<std::uint16_t>(512))
      .value("llama.attention.head_count", 11, GgufWriter::raw<std::int64_t>(8))
      .value("llama.attention.key_length", 3, GgufWriter::raw<std::int16_t>(32))
      .value("llama.attention.value_length", 5, GgufWriter::raw<std::int32_t>(64))
      .value("llama.vocab_size", 4, GgufWriter::raw<std::uint32_t>(777))
      .value("llama.pooling_type", 4, GgufWriter::raw<std::uint32_t>(1))
      .value("a.double", 12, GgufWriter::raw(1.5))
      .value("a.byte", 1, GgufWriter::raw<std::int8_t>(-1))
      .value("a.flag", 7, GgufWriter::raw<std::uint8_t>(1))
      // The architecture may come after the keys that it prefixes.
      .string("general.architecture", "llama")
      .string("general.basename", "Base");
  const auto model = read(writer.file());
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ(model->version, 2u);
  EXPECT_EQ(model->name, "Base");
  EXPECT_EQ(model->context_length, 4096u);
  EXPECT_EQ(model->blocks, 3u);
  EXPECT_EQ(model->heads, 8u);
  EXPECT_EQ(model->kv_heads, (std::vector<std::uint32_t>{8, 8, 8}));
  EXPECT_EQ(model->key_length, 32u);
  EXPECT_EQ(model->value_length, 64u);
  EXPECT_EQ(model->vocabulary, 777u);
  EXPECT_EQ(model->pooling, "mean");
  EXPECT_EQ(model->quantization, "");
}

TEST(Gguf, ReadsFiguresThatDifferByBlock) {
  GgufWriter writer;
  writer.string("general.architecture", "odd")
      .number("odd.block_count", 3)
      .number("odd.embedding_length", 64)
      .number("odd.expert_count", 8)
      .number("odd.expert_used_count", 2)
      .number("odd.expert_feed_forward_length", 96)
      .array<std::uint32_t>("odd.feed_forward_length", 4, {100, 300, 200})
      .array<std::int32_t>("odd.attention.head_count", 5, {4, 8, 4})
      .array<std::uint32_t>("odd.attention.head_count_kv", 4, {0, 2})
      .number("odd.attention.sliding_window", 512)
      .array<std::uint8_t>("odd.attention.sliding_window_pattern", 7, {1, 0, 1});
  const auto model = read(writer.file());
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ(model->heads, 8u);
  EXPECT_EQ(model->kv_heads, (std::vector<std::uint32_t>{0, 2, 8}));
  EXPECT_EQ(model->feed_forward_length, 96u);
  EXPECT_EQ(model->experts, 8u);
  EXPECT_EQ(model->experts_used, 2u);
  EXPECT_EQ(model->sliding, (std::vector<bool>{true, false, true}));
}

std::vector<bool> sliding_of(std::string_view architecture, std::optional<unsigned> period) {
  GgufWriter writer;
  const std::string prefix(architecture);
  writer.string("general.architecture", architecture)
      .number(prefix + ".block_count", 4)
      .number(prefix + ".attention.sliding_window", 512);
  if (period) writer.number(prefix + ".attention.sliding_window_pattern", *period);
  const auto model = read(writer.file());
  return model ? model->sliding : std::vector<bool>{};
}

TEST(Gguf, KnowsWhichBlocksLookBackOnly) {
  EXPECT_EQ(sliding_of("gemma2", {}), (std::vector<bool>{true, false, true, false}));
  EXPECT_EQ(sliding_of("cohere2moe", {}), (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(sliding_of("gemma2", 4), (std::vector<bool>{true, true, true, false}));
  EXPECT_EQ(sliding_of("gemma2", 4'000'000'000), (std::vector<bool>{true, false, true, false}));
  EXPECT_EQ(sliding_of("unheard-of", {}), std::vector<bool>{});
}

TEST(Gguf, NamesTheQuantizationFromTensorsWhenTheFileDoesNot) {
  GgufWriter writer;
  writer.string("general.architecture", "llama")
      .number("general.file_type", 1024)
      .tensor("a", {256, 8}, 12, 1152)
      .tensor("b", {64}, 0, 256);
  const auto model = read(writer.file());
  ASSERT_TRUE(model);
  EXPECT_EQ(model->quantization, "Q4_K");
  EXPECT_EQ(model->repacked_bytes, 1152u);
}

TEST(Gguf, CountsRepackedMatricesOnly) {
  GgufWriter writer;
  writer.string("general.architecture", "llama")
      .tensor("token_embd.weight", {32, 8}, 2, 144)  // only looked up in
      .tensor("a", {32, 8}, 2, 144)
      .tensor("b", {32, 7}, 2, 126)  // rows not in eights
      .tensor("c", {32}, 2, 18)      // no matrix
      .tensor("output.weight", {32, 8}, 2, 144);
  const auto model = read(writer.file());
  ASSERT_TRUE(model);
  EXPECT_EQ(model->repacked_bytes, 288u);
  EXPECT_FALSE(model->places.shared_output);
}

TEST(Gguf, AnEmbeddingThatIsTheOutputLayerIsCopiedForIt) {
  GgufWriter writer;
  writer.string("general.architecture", "llama")
      .tensor("token_embd.weight", {32, 8}, 2, 144)
      .tensor("output_norm.weight", {32}, 0, 128);
  const auto model = read(writer.file());
  ASSERT_TRUE(model);
  EXPECT_TRUE(model->places.shared_output);
  EXPECT_EQ(model->places.output, 144u + 128);
  EXPECT_EQ(model->places.output_repacked, 144u);
  EXPECT_EQ(model->repacked_bytes, 144u);
}

TEST(Gguf, TellsWhichLayersTheBytesBelongTo) {
  GgufWriter writer;
  writer.string("general.architecture", "llama")
      .tensor("token_embd.weight", {32, 8}, 8, 272)
      .tensor("blk.2.attn_q.weight", {32, 8}, 2, 144)
      .tensor("blk.0.attn_q.weight", {32, 8}, 2, 144)
      .tensor("blk.0.attn_norm.weight", {32}, 0, 128)
      .tensor("blk.99999.odd", {32}, 0, 128)  // not a block that can be
      .tensor("blk.x.odd", {32}, 0, 128)
      .tensor("rope_freqs.weight", {32}, 0, 128)
      .tensor("output_norm.weight", {32}, 0, 128)
      .tensor("output.weight", {32, 8}, 8, 272);
  const auto model = read(writer.file());
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ(model->places.blocks, (std::vector<std::uint64_t>{272, 0, 144}));
  EXPECT_EQ(model->places.repacked, (std::vector<std::uint64_t>{144, 0, 144}));
  EXPECT_EQ(model->places.output, 400u);
  EXPECT_EQ(model->places.output_repacked, 0u);
}

TEST(Gguf, ReadsWhatRecurrentBlocksKeep) {
  const auto hybrid = [](std::uint32_t interval) {
    GgufWriter writer;
    writer.string("general.architecture", "qwen3next")
        .number("qwen3next.block_count", 4)
        .number("qwen3next.attention.head_count", 4)
        .number("qwen3next.attention.head_count_kv", 2)
        .number("qwen3next.ssm.inner_size", 64)
        .number("qwen3next.ssm.state_size", 16)
        .number("qwen3next.ssm.conv_kernel", 4)
        .number("qwen3next.ssm.group_count", 2);
    if (interval != 0) writer.number("qwen3next.full_attention_interval", interval);
    return read(writer.file());
  };
  const auto model = hybrid(4);
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ(model->kv_heads, (std::vector<std::uint32_t>{0, 0, 0, 2}));
  EXPECT_EQ(model->state_bytes, 4u * 3 * (3 * (64 + 2 * 2 * 16) + 16 * 64));
  EXPECT_EQ(hybrid(0)->state_bytes, 0u);  // no block is known to be recurrent
}

TEST(Gguf, ReadsCachesThatAreSmallerThanUsual) {
  GgufWriter writer;
  writer.string("general.architecture", "deepseek2")
      .number("deepseek2.block_count", 3)
      .number("deepseek2.attention.head_count", 4)
      .number("deepseek2.attention.head_count_kv", 1)
      .number("deepseek2.attention.key_length", 576)
      .number("deepseek2.attention.value_length", 512)
      .number("deepseek2.attention.key_length_mla", 192)
      .number("deepseek2.attention.key_length_swa", 64)
      .number("deepseek2.attention.value_length_swa", 32)
      .number("deepseek2.attention.shared_kv_layers", 2);
  const auto model = read(writer.file());
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ(model->key_length, 576u);
  EXPECT_EQ(model->value_length, 0u);
  EXPECT_EQ(model->sliding_key_length, 64u);
  EXPECT_EQ(model->sliding_value_length, 32u);
  EXPECT_EQ(model->kv_heads, (std::vector<std::uint32_t>{1, 0, 0}));
}

TEST(Gguf, LooksUpNamesOfTypes) {
  EXPECT_EQ(file_type_name(15), "Q4_K_M");
  EXPECT_EQ(file_type_name(32), "BF16");
  EXPECT_EQ(file_type_name(33), "");
  EXPECT_EQ(file_type_name(kHuge), "");
  EXPECT_EQ(tensor_type(14)->name, "Q6_K");
  EXPECT_FALSE(tensor_type(4));
  EXPECT_EQ(pooling_name(4), "rank");
  EXPECT_EQ(pooling_name(-1), "");
  EXPECT_EQ(pooling_name(5), "");
}

TEST(Gguf, PassesOverLongTokenListsInSmallPieces) {
  std::vector<std::string> tokens(30'000, "a token of some length, to fill pieces");
  GgufWriter writer;
  writer.string("general.architecture", "llama")
      .strings("tokenizer.ggml.tokens", tokens)
      .array("tokenizer.ggml.scores", 6, std::vector<float>(30'000, 1.0f))
      .array("tokenizer.ggml.token_type", 5, std::vector<std::int32_t>(30'000, 1))
      .number("llama.context_length", 99);
  ReadBudget budget;
  const auto model = read_gguf(MemoryReadable(writer.file(), &budget));
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ(model->vocabulary, 30'000u);
  EXPECT_EQ(model->context_length, 99u);
  EXPECT_LE(budget.largest, 64u << 10);
}

TEST(Gguf, DoesNotReadTheWeights) {
  GgufWriter writer = tiny_llama();
  writer.raw_tensor("big", {1 << 20, 1 << 10}, 0, 8192);
  const std::string header = writer.header();
  const auto model = read_gguf(MemoryReadable(header, header.size() + (5ull << 30)));
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_GT(model->tensor_bytes, 4ull << 30);
}

TEST(Gguf, RefusesWhatIsNotGguf) {
  EXPECT_TRUE(says("", "begins with 24 bytes, this one has 0"));
  EXPECT_TRUE(says("<html><body>Not found</body></html>", "not a GGUF file"));
  EXPECT_TRUE(says("<html><body>Not found</body></html>", "download it again"));
  EXPECT_TRUE(says(std::string("\0\1\2\3", 4) + std::string(40, 'x'), "begins with '?\?\?\?'"));
  GgufWriter old = tiny_llama();
  old.version = 1;
  EXPECT_TRUE(says(old.file(), "GGUF version 1"));
  old.version = 0x03000000;
  EXPECT_TRUE(says(old.file(), "big-endian"));
  old.version = 4;
  EXPECT_TRUE(says(old.file(), "GGUF version 4"));
}

TEST(Gguf, RefusesHostileCounts) {
  GgufWriter writer;
  writer.extra_keys = 1ull << 63;
  EXPECT_TRUE(says(writer.file(), "9223372036854775808 keys"));
  writer.extra_keys = 10'000;
  EXPECT_TRUE(says(writer.file(), "cut short: the list of keys"));
  writer.extra_keys = 0;
  writer.extra_tensors = kHuge;
  EXPECT_TRUE(says(writer.file(), "tensors"));
  GgufWriter few = tiny_llama();
  few.extra_tensors = 200'000;
  EXPECT_TRUE(says(few.header(), "cut short"));
}

TEST(Gguf, RefusesHostileLengths) {
  const auto with = [](std::uint32_t type, const std::string& bytes) {
    return GgufWriter().value("general.name", type, bytes).file();
  };
  EXPECT_TRUE(says(with(8, GgufWriter::raw(kHuge)), "the value of 'general.name' needs"));
  EXPECT_TRUE(says(with(8, GgufWriter::raw<std::uint64_t>(1 << 30)), "cut short"));
  const std::string long_name(100'000, 'n');
  EXPECT_TRUE(says(with(8, GgufWriter::text(long_name)), "at most 65536 make sense"));
  EXPECT_TRUE(says(with(13, "xxxx"), "unknown type 13"));
  const auto array = [](std::uint32_t type, std::uint64_t items) {
    return GgufWriter::raw(type) + GgufWriter::raw(items) + "some bytes after it";
  };
  EXPECT_TRUE(says(with(9, array(4, kHuge)), "items"));
  EXPECT_TRUE(says(with(9, array(4, 1 << 25)), "cut short"));
  EXPECT_TRUE(says(with(9, array(8, 1 << 25)), "cut short"));
  EXPECT_TRUE(says(with(9, array(8, 1) + GgufWriter::raw(kHuge)), "cut short"));
  EXPECT_TRUE(says(with(9, array(9, 1)), "array of arrays"));
  EXPECT_TRUE(says(with(9, array(77, 1)), "unknown type 77"));
  GgufWriter key;
  key.string(std::string(2'000, 'k'), "v");
  EXPECT_TRUE(says(key.file(), "the name of key 0"));
}

TEST(Gguf, RefusesAHeaderWithoutEnd) {
  // A file that claims terabytes lets a text claim them too; the header's limit stops it.
  const std::string bytes =
      GgufWriter().value("a", 8, GgufWriter::raw<std::uint64_t>(1ull << 40)).header();
  const auto model = read_gguf(MemoryReadable(bytes, 1ull << 42));
  ASSERT_FALSE(model);
  EXPECT_NE(model.error().message.find("that a header may take"), std::string::npos);
}

TEST(Gguf, RefusesTheSameKeyTwice) {
  GgufWriter writer = tiny_llama();
  writer.string("general.name", "Other");
  EXPECT_TRUE(says(writer.file(), "'general.name' is given twice"));
}

TEST(Gguf, RefusesFiguresOutOfReason) {
  const auto with = [](std::string_view key, std::uint32_t value) {
    return GgufWriter().string("general.architecture", "llama").number(key, value).file();
  };
  EXPECT_TRUE(says(with("llama.block_count", 0xffffffff), "llama.block_count is 4294967295"));
  EXPECT_TRUE(says(with("llama.embedding_length", 0xffffffff), "embedding_length"));
  EXPECT_TRUE(says(with("llama.attention.key_length", 0xffffffff), "key_length"));
  EXPECT_TRUE(says(with("llama.expert_count", 0xffffffff), "expert_count"));
  EXPECT_TRUE(says(with("general.alignment", 0), "general.alignment is 0"));
  EXPECT_TRUE(says(with("general.alignment", 48), "general.alignment is 48"));
  EXPECT_TRUE(says(GgufWriter()
                       .string("general.architecture", "llama")
                       .value("llama.context_length", 11, GgufWriter::raw<std::int64_t>(-5))
                       .file(),
                   "llama.context_length is -5"));
  EXPECT_TRUE(says(GgufWriter().string("general.name", "x").file(), "which architecture"));
}

TEST(Gguf, WeightsBeginWhereTheAlignmentSays) {
  GgufWriter writer;
  writer.string("general.architecture", "llama")
      .number("general.alignment", 4096)
      .raw_tensor("a", {8}, 0, 0);
  const auto model = read(writer.file() + std::string(8192, '\0'), KeepTensors::yes);
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ(model->tensors[0].offset, 4096u);
}

TEST(Gguf, RefusesImpossibleTensors) {
  const auto with = [](std::vector<std::uint64_t> shape, std::uint32_t type,
                       std::uint64_t offset = 0) {
    GgufWriter writer;
    writer.string("general.architecture", "llama").raw_tensor("evil", shape, type, offset);
    return writer.file() + std::string(4096, '\0');
  };
  EXPECT_TRUE(says(with({1ull << 40, 1ull << 40}, 0), "impossible dimensions"));
  EXPECT_TRUE(says(with({1ull << 62, 1}, 0), "impossible dimensions"));
  EXPECT_TRUE(says(with({32}, 0, kHuge - 64), "impossible dimensions"));
  EXPECT_TRUE(says(with({1, 1, 1, 1, 1}, 0), "5 dimensions"));
  EXPECT_TRUE(says(with({1}, 99), "unknown type 99"));
  EXPECT_TRUE(says(with({31}, 2), "blocks of 32"));
  EXPECT_TRUE(says(with({8}, 0, 1 << 20), "cut short: tensor 'evil' needs bytes"));
  GgufWriter twice;
  twice.string("general.architecture", "llama");
  for (int i = 0; i < 8; ++i) twice.raw_tensor(fmt::format("t{}", i), {1024}, 0, 0);
  EXPECT_TRUE(says(twice.file() + std::string(4096, '\0'), "lie over each other"));
}

TEST(Gguf, SaysWhichTensorIsCutShort) {
  const std::string whole = tiny_llama().file();
  const std::string cut = whole.substr(0, whole.size() - 300);
  EXPECT_TRUE(says(cut, fmt::format("cut short: tensor 'blk.0.attn_q.weight' needs bytes")));
  EXPECT_TRUE(says(cut, fmt::format("the file has {}", cut.size())));
  EXPECT_TRUE(says(cut, "download it again"));
}

TEST(Gguf, EveryShorterFileIsAnErrorAndNoCrash) {
  const std::string whole = tiny_llama().file();
  ASSERT_TRUE(read(whole));
  const std::size_t header = tiny_llama().header().size();
  for (std::size_t length = 0; length < whole.size(); length += length < header ? 1 : 211) {
    ASSERT_FALSE(read(whole.substr(0, length))) << "at " << length;
  }
}

TEST(Gguf, NoChangedByteCrashesIt) {
  const std::string whole = tiny_llama().file();
  const std::size_t header = tiny_llama().header().size();
  std::minstd_rand random(7);
  int refused = 0;
  for (int round = 0; round < 1'000; ++round) {
    std::string bytes = whole;
    for (int i = 0; i < 1 + round % 3; ++i) {
      bytes[random() % header] = static_cast<char>(random() % 4 == 0 ? 0xff : random());
    }
    if (!read(bytes)) ++refused;
  }
  EXPECT_GT(refused, 100);
}

TEST(Gguf, AFailingDiskIsAnErrorWhereverItFails) {
  std::vector<std::string> tokens(20'000, "twenty bytes of text");
  GgufWriter writer = tiny_llama();
  writer.strings("tokenizer.ggml.merges", tokens);
  const std::string bytes = writer.file();
  int good = 0;
  for (int budget_left = 0; good == 0; ++budget_left) {
    ASSERT_LT(budget_left, 100);
    ReadBudget budget{.left = budget_left};
    const auto model = read_gguf(MemoryReadable(bytes, &budget));
    if (model) {
      ++good;
    } else {
      EXPECT_EQ(model.error().message, "the disk failed");
    }
  }
}

TEST(Gguf, AFileThatShrinksWhileReadIsAnError) {
  const std::string bytes = tiny_llama().file();
  const auto model = read_gguf(MemoryReadable(bytes.substr(0, 100), bytes.size()));
  ASSERT_FALSE(model);
  EXPECT_NE(model.error().message.find("became shorter"), std::string::npos);
}

TEST(Gguf, TextFromAFileIsMadePrintable) {
  GgufWriter writer;
  writer.string("general.architecture", "llama")
      .string("general.name", "A\x1b[31mred\n\xff\xc3\xa9")
      .string("tokenizer.chat_template", "\xff\xfe");
  const auto model = read(writer.file());
  ASSERT_TRUE(model);
  EXPECT_EQ(model->name, "A?[31mred??\xc3\xa9");
  EXPECT_EQ(model->chat_template, "");
  EXPECT_EQ(printable("abcdef", 3), "abc");
}

}  // namespace
}  // namespace corral::models::gguf_test
