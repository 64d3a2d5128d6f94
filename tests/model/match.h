#pragma once

#include <optional>
#include <string>

#include "tests/model/values.h"

namespace karma::test::model {

// Values of an expected reply that stand for what the model cannot know.
json::value anything();
// Unix seconds between the start of this program and now.
json::value recent_time();
// The `before` of an idempotency.prune: a number that is not negative, or a text.
json::value instant();
// A text that begins with this.
json::value text_from(std::string_view beginning);

// Where the actual value is not the expected one; nothing where it is.
std::optional<std::string> difference(const json::value& expected, const json::value& actual,
                                      const std::string& path = "response");

std::string shortened(std::string text, std::size_t limit = 1500);

}  // namespace karma::test::model
