// Models that lie in several files.
#include <gtest/gtest.h>

#include "models/gguf.hpp"
#include "models/tests/gguf_writer.hpp"
#include "models/tests/memory_files.hpp"

namespace corral::models::split_test {
namespace {

TEST(SplitName, IsReadAndWritten) {
  const auto name = parse_split_name("big-Q4_K_M-00002-of-00013.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->stem, "big-Q4_K_M");
  EXPECT_EQ(name->number, 2u);
  EXPECT_EQ(name->count, 13u);
  EXPECT_EQ(split_file_name("big", 2, 13), "big-00002-of-00013.gguf");
  EXPECT_TRUE(parse_split_name("x-00001-of-00001.GGUF"));
  for (const char* wrong :
       {"big.gguf", "-00001-of-00002.gguf", "a-00000-of-00002.gguf", "a-00003-of-00002.gguf",
        "a-0001-of-0002.gguf", "a-00001-of-00002.bin", "a-00001_of-00002.gguf", ""}) {
    EXPECT_FALSE(parse_split_name(wrong)) << wrong;
  }
}

GgufWriter part(unsigned number, unsigned count, std::uint32_t tensors) {
  GgufWriter out;
  if (number == 0) out = tiny_llama();
  out.value("split.no", 2, GgufWriter::raw<std::uint16_t>(static_cast<std::uint16_t>(number)))
      .value("split.count", 2, GgufWriter::raw<std::uint16_t>(static_cast<std::uint16_t>(count)))
      .value("split.tensors.count", 5, GgufWriter::raw<std::int32_t>(static_cast<int>(tensors)));
  if (number > 0) {
    out.tensor("blk.1.attn_q.weight", {64, 64}, 8, 4352).tensor("more", {64, 8}, 1, 1024);
  }
  return out;
}

class SplitFiles : public ::testing::Test {
 protected:
  Result<GgufMetadata> read_all(KeepTensors keep = KeepTensors::no) {
    return read_gguf_set(files_, paths_, keep);
  }
  std::string error() {
    const auto result = read_all();
    return result ? "no error" : result.error().describe();
  }

  MemoryFiles files_;
  std::vector<sys::Path> paths_{"/m/a-00001-of-00002.gguf", "/m/a-00002-of-00002.gguf"};
};

TEST_F(SplitFiles, AreOneModel) {
  files_.put("/m/a-00001-of-00002.gguf", part(0, 2, 5).file(), {});
  files_.put("/m/a-00002-of-00002.gguf", part(1, 2, 5).file(), {});
  const auto model = read_all(KeepTensors::yes);
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ(model->name, "Tiny");
  EXPECT_EQ(model->tensor_count, 5u);
  EXPECT_EQ(model->tensors.size(), 5u);
  EXPECT_EQ(model->places.blocks, (std::vector<std::uint64_t>{4352, 4352}));
  EXPECT_FALSE(model->places.shared_output);
  EXPECT_EQ(model->tensor_bytes, 340u + 4352 + 256 + 4352 + 1024);
  EXPECT_EQ(model->parameters, 64u * 5 + 64 * 64 + 64 + 64 * 64 + 64 * 8);
  ASSERT_EQ(model->types.size(), 3u);
  EXPECT_EQ(model->types[0].bytes, 340u + 4352 + 4352);
  EXPECT_EQ(model->types[1].type, "F16");
}

TEST_F(SplitFiles, MustAgreeWithEachOther) {
  files_.put("/m/a-00001-of-00002.gguf", part(0, 2, 5).file(), {});
  files_.put("/m/a-00002-of-00002.gguf", part(0, 2, 5).file(), {});
  EXPECT_NE(error().find("file 2 of 2 says that it is part 1 of 2"), std::string::npos) << error();
  files_.put("/m/a-00002-of-00002.gguf", part(1, 3, 5).file(), {});
  EXPECT_NE(error().find("part 2 of 3"), std::string::npos) << error();
  files_.put("/m/a-00002-of-00002.gguf", part(2, 2, 5).file(), {});
  EXPECT_NE(error().find("split fields do not fit"), std::string::npos) << error();
  files_.put("/m/a-00001-of-00002.gguf", part(0, 2, 9).file(), {});
  files_.put("/m/a-00002-of-00002.gguf", part(1, 2, 9).file(), {});
  EXPECT_NE(error().find("hold 5 tensors, it should be 9"), std::string::npos) << error();
}

TEST_F(SplitFiles, SayWhichPartIsBad) {
  files_.put("/m/a-00001-of-00002.gguf", part(0, 2, 5).file(), {});
  const std::string second = part(1, 2, 5).file();
  files_.put("/m/a-00002-of-00002.gguf", second.substr(0, second.size() - 1), {});
  EXPECT_NE(error().find("part 2 of 2: cut short: tensor 'more'"), std::string::npos) << error();
  files_.erase("/m/a-00002-of-00002.gguf");
  EXPECT_NE(error().find("is gone"), std::string::npos) << error();
}

TEST_F(SplitFiles, APartAloneSaysThatItsSiblingsAreMissing) {
  files_.put("/m/renamed.gguf", part(0, 2, 5).file(), {});
  paths_ = {"/m/renamed.gguf"};
  EXPECT_NE(error().find("part 1 of 2, but stands alone"), std::string::npos) << error();
}

}  // namespace
}  // namespace corral::models::split_test
