#include "inference/request.hpp"

namespace corral::inference {

std::string_view to_string(Operation operation) {
  switch (operation) {
    case Operation::chat: return "chat";
    case Operation::completion: return "completion";
    case Operation::embedding: return "embedding";
  }
  return "unknown";
}

}  // namespace corral::inference
