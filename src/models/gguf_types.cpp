#include "models/gguf_types.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace corral::models {
namespace {

constexpr TensorType kTensorTypes[] = {
    {0, "F32", 1, 4, false},         {1, "F16", 1, 2, false},
    {2, "Q4_0", 32, 18, true},       {3, "Q4_1", 32, 20, false},
    {6, "Q5_0", 32, 22, false},      {7, "Q5_1", 32, 24, false},
    {8, "Q8_0", 32, 34, false},      {9, "Q8_1", 32, 36, false},
    {10, "Q2_K", 256, 84, false},    {11, "Q3_K", 256, 110, false},
    {12, "Q4_K", 256, 144, true},    {13, "Q5_K", 256, 176, false},
    {14, "Q6_K", 256, 210, false},   {15, "Q8_K", 256, 292, false},
    {16, "IQ2_XXS", 256, 66, false}, {17, "IQ2_XS", 256, 74, false},
    {18, "IQ3_XXS", 256, 98, false}, {19, "IQ1_S", 256, 50, false},
    {20, "IQ4_NL", 32, 18, true},    {21, "IQ3_S", 256, 110, false},
    {22, "IQ2_S", 256, 82, false},   {23, "IQ4_XS", 256, 136, false},
    {24, "I8", 1, 1, false},         {25, "I16", 1, 2, false},
    {26, "I32", 1, 4, false},        {27, "I64", 1, 8, false},
    {28, "F64", 1, 8, false},        {29, "IQ1_M", 256, 56, false},
    {30, "BF16", 1, 2, false},       {34, "TQ1_0", 256, 54, false},
    {35, "TQ2_0", 256, 66, false},   {39, "MXFP4", 32, 17, true},
    {40, "NVFP4", 64, 36, false},    {41, "Q1_0", 128, 18, false},
    {42, "Q2_0", 64, 18, false},
};

struct FileType {
  std::uint64_t id;
  std::string_view name;
};

constexpr FileType kFileTypes[] = {
    {0, "F32"},      {1, "F16"},      {2, "Q4_0"},    {3, "Q4_1"},    {7, "Q8_0"},
    {8, "Q5_0"},     {9, "Q5_1"},     {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},
    {13, "Q3_K_L"},  {14, "Q4_K_S"},  {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},
    {18, "Q6_K"},    {19, "IQ2_XXS"}, {20, "IQ2_XS"}, {21, "Q2_K_S"}, {22, "IQ3_XS"},
    {23, "IQ3_XXS"}, {24, "IQ1_S"},   {25, "IQ4_NL"}, {26, "IQ3_S"},  {27, "IQ3_M"},
    {28, "IQ2_S"},   {29, "IQ2_M"},   {30, "IQ4_XS"}, {31, "IQ1_M"},  {32, "BF16"},
    {36, "TQ1_0"},   {37, "TQ2_0"},   {38, "MXFP4"},  {39, "NVFP4"},  {40, "Q1_0"},
    {41, "Q2_0"},
};

constexpr std::string_view kPoolings[] = {"none", "mean", "cls", "last", "rank"};

struct NamedPattern {
  std::string_view architecture;
  SlidingPattern pattern;
};

constexpr NamedPattern kPatterns[] = {
    {"afmoe", {4, false}},      {"cohere2", {4, false}}, {"cohere2moe", {4, true}},
    {"exaone-moe", {4, false}}, {"exaone4", {4, false}}, {"gemma-embedding", {6, false}},
    {"gemma2", {2, false}},     {"gemma3", {6, false}},  {"gemma3n", {5, false}},
    {"gpt-oss", {2, false}},    {"llama4", {4, false}},  {"modern-bert", {3, true}},
    {"olmo2", {4, false}},      {"plamo3", {8, false}},  {"smallthinker", {4, true}},
};

}  // namespace

std::optional<TensorType> tensor_type(std::uint32_t id) {
  const auto* found = std::ranges::find(kTensorTypes, id, &TensorType::id);
  if (found == std::end(kTensorTypes)) return std::nullopt;
  return *found;
}

std::string_view file_type_name(std::uint64_t file_type) {
  const auto* found = std::ranges::find(kFileTypes, file_type, &FileType::id);
  return found == std::end(kFileTypes) ? std::string_view{} : found->name;
}

std::string_view pooling_name(std::int64_t pooling) {
  if (pooling < 0 || pooling >= static_cast<std::int64_t>(std::size(kPoolings))) return {};
  return kPoolings[pooling];
}

std::optional<SlidingPattern> sliding_pattern(std::string_view architecture) {
  const auto* found = std::ranges::find(kPatterns, architecture, &NamedPattern::architecture);
  if (found == std::end(kPatterns)) return std::nullopt;
  return found->pattern;
}

}  // namespace corral::models
