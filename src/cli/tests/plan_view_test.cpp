#include <gtest/gtest.h>

#include "cli/commands.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::plan_view_test {
namespace {

const std::string kHost = R"("host":{"total_bytes":3145728,"weights_bytes":1048576,
 "repacked_bytes":0,"kv_cache_bytes":2097152})";

std::string planned(const std::string& rest) {
  return R"({"name":"m","plan":{"device":"CUDA0",)" + kHost + rest +
         R"(,"choices":[{"what":"slots","value":"2","why":"asked 4; 4 would need 9.1 GiB of 8.0 GiB"},
         {"what":"device","value":"evil\u001b[31m","why":"as asked"}]}})";
}

TEST(RenderPlan, ChoicesAndWhereTheMemoryGoes) {
  EXPECT_EQ(render_plan(planned(R"(,"accelerator":null)"), Paint(false)),
            "WHAT    CHOSEN     WHY\n"
            "slots   2          asked 4; 4 would need 9.1 GiB of 8.0 GiB\n"
            "device  evil\xE2\x90\x9B[31m  as asked\n"
            "\n"
            "MEMORY                       HOST\n"
            "weights                   1.0 MiB\n"
            "cache of keys and values  2.0 MiB\n"
            "together                  3.0 MiB\n");
}

TEST(RenderPlan, AnAcceleratorHasAColumnOfItsOwn) {
  const std::string text = render_plan(
      planned(R"(,"accelerator":{"total_bytes":2048,"compute_bytes":2048})"), Paint(false));
  EXPECT_NE(text.find("HOST  ACCELERATOR\n"), std::string::npos) << text;
  EXPECT_NE(text.find("buffers for computing           -      2.0 KiB\n"), std::string::npos)
      << text;
}

TEST(RenderPlan, OddAnswersDoNoHarm) {
  for (std::string_view body : {"", "null", "{}", R"({"plan":null})", R"({"plan":{}})",
                                R"({"plan":{"choices":5,"host":7}})"}) {
    (void)render_plan(body, Paint(false));
  }
  EXPECT_EQ(render_plan("{}", Paint(false)), "");
}

TEST(ShowPlan, AsTableAsJsonAndWhenThereIsNone) {
  Stage stage;
  stage.server.on("GET /admin/v1/models/m", {.body = planned(R"(,"accelerator":null)")});
  EXPECT_EQ(stage.run({"show", "m", "--plan"}), 0);
  EXPECT_NE(stage.console.out_text.find("asked 4; 4 would need"), std::string::npos);
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"show", "m", "--plan", "--json"}), 0);
  EXPECT_TRUE(stage.console.out_text.starts_with("{\"device\":\"CUDA0\""))
      << stage.console.out_text;
  stage.server.on("GET /admin/v1/models/far", {.body = R"({"name":"far","plan":null})"});
  EXPECT_EQ(stage.run({"show", "far", "--plan"}), 1);
  EXPECT_NE(stage.console.err_text.find("no plan for 'far'"), std::string::npos);
  stage.server.on("GET /admin/v1/models/big",
                  {.body = R"({"plan":{"error":"it does not fit","hint":"try Q4_K_M"}})"});
  EXPECT_EQ(stage.run({"show", "big", "--plan"}), 1);
  EXPECT_NE(stage.console.err_text.find("it does not fit"), std::string::npos);
  EXPECT_NE(stage.console.err_text.find("try Q4_K_M"), std::string::npos);
}

}  // namespace
}  // namespace corral::cli::plan_view_test
