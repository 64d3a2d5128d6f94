// The descriptions of ops as a user sees them.
#include <filesystem>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include "cli/op_text.h"
#include "net/op_table.h"
#include "tests/support/json.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

TEST_CASE("op text: docs/protocol.md is what karma call --ops=markdown prints") {
    std::ostringstream page;
    cli::print_protocol_page(page);
    const std::filesystem::path path =
        test_file("README.md").parent_path().parent_path() / "docs/protocol.md";
    INFO("build/release/karma call --ops=markdown >docs/protocol.md makes it anew");
    CHECK(read_file(path) == page.str());
}

TEST_CASE("op text: every op is described whole, with an example unless only nodes send it") {
    for (const net::OpGroup* const group : net::op_groups()) {
        CHECK_FALSE(group->ops.empty());
        for (const net::Op& op : group->ops) {
            CAPTURE(op.name);
            const bool has_decoder = op.decode != nullptr;
            CHECK(has_decoder);
            CHECK(op.summary.ends_with('.'));
            CHECK_FALSE(op.reply.empty());
            CHECK_FALSE(op.reply.ends_with('.'));
            for (const net::OpField& field : op.fields) {
                CAPTURE(field.field->name);
                CHECK_FALSE(cli::field_meaning(field).empty());
            }
            CHECK(op.example.request.empty() == op.ignores_unknown_fields);
            if (op.example.request.empty()) continue;
            CHECK(parse_json(op.example.request).at("op") == json::value(op.name));
            CHECK(parse_json(cli::example_reply(op)).at("protocol_version") == 2);
        }
    }
}

TEST_CASE("op text: a field says its range and its default") {
    const net::Op& keys = *net::find_op("tree.keys");
    CHECK(cli::field_meaning(keys.fields.at(1)) == "how many at most, 1 to 10000");
    CHECK(cli::field_default(keys.fields.at(1)) == "100");
    const net::Op& increment = *net::find_op("series.increment");
    CHECK(cli::field_meaning(increment.fields.at(3)) == "the amount, at least 1");
    CHECK(cli::field_default(increment.fields.at(2)) == "the current UTC day");
    CHECK(cli::field_default(increment.fields.at(0)).empty());
}

}  // namespace karma::test
