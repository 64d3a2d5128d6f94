#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "net/fast_decoder.h"
#include "net/op_fields.h"
#include "net/op_table.h"
#include "net/request_decoder.h"
#include "tests/net/request_text.h"
#include "tests/support/settings.h"

// The fast decoder must never disagree with the general one: it gives the same request, or nothing.

namespace {

using karma::Request;
using karma::net::Access;
using karma::net::RequestDecoder;
using karma::test::describe;

/// Makes request lines: mostly right, with everything that may be said in another way, and then damaged.
class LineMaker {
public:
    explicit LineMaker(std::mt19937_64& engine) : engine_(engine) {}

    std::string make() {
        std::vector<std::string> fields = {R"("v":)" +
                                           any_of({"2", "2", "2", "2", "2", "2.0", "02", "3", "\"2\""})};
        const std::string op =
            any_of({"counter.increment", "counter.decrement", "counter.sum", "counter.series",
                    "series.batch_add", "series.batch_set", "counter.batch_sum", "ingest.chunk",
                    "series.increment", "system.ping", "counter.nope"});
        fields.push_back(R"("op":")" + op + "\"");
        // What the op does not take is for the general path alone.
        const karma::net::Op* const known = one_in(4) ? nullptr : karma::net::find_op(op);
        const auto is_taken = [known](std::string_view name) {
            if (known == nullptr) return true;
            const std::vector<std::string_view> taken = karma::net::op_field_names(*known);
            return std::find(taken.begin(), taken.end(), name) != taken.end();
        };
        for (const char* const name : {"series", "key", "bucket", "value", "range", "keys", "items"}) {
            if (!one_in(5) && is_taken(name)) {
                fields.push_back("\"" + renamed(name) + "\":" + value_of(name));
            }
        }
        if (one_in(4) && is_taken("last")) {
            fields.push_back(R"("last":)" + any_of({"\"1d\"", "\"30d\"", "\"0d\"", "\"d\"", "\"24h\"", "30",
                                                    "null", "\"3652060d\""}));
        }
        if (one_in(4) && is_taken("reply")) {
            fields.push_back(R"("reply":)" +
                             any_of({"\"total\"", "\"total\"", "\"value\"", "\"\"", "1", "null"}));
        }
        if (!one_in(3) && is_taken("stream_id")) {
            fields.push_back(R"("stream_id":)" + any_of({"\"import/1\"", "\"s\"", "\"\"", "5", "null"}));
            fields.push_back("\"chunk_seq\":" + plain_number());
        }
        if (one_in(6)) {
            fields.push_back(any_of({"\"token\":\"secret\"", "\"token\":\"read\"", "\"token\":5",
                                     "\"extra\":{\"a\":[1,null,\"x\"]}", "\"key\":7"}));
        }
        if (one_in(3) && is_taken("idempotency_key")) {
            fields.push_back(
                R"("idempotency_key":)" +
                any_of({"\"k\"", "\"click-1\"", "\"k\"", "5", "\"\"", "null", "\"\\u0041\"", "[]",
                        "\"" + std::string(256, 'k') + "\"", "\"" + std::string(257, 'k') + "\""}));
        }
        if (one_in(12)) {
            fields.push_back(R"("fingerprint":)" + any_of({"\"f\"", "\"\"", "1"}));
        }
        std::shuffle(fields.begin(), fields.end(), engine_);
        std::string line = space() + "{";
        for (std::size_t i = 0; i < fields.size(); ++i) {
            line += (i == 0 ? "" : ",") + space() + fields[i] + space();
        }
        line += "}" + space();
        return one_in(3) ? damaged(line) : line;
    }

private:
    std::uint64_t below(std::uint64_t count) { return karma::test::random_between(engine_, 0, count - 1); }
    bool one_in(std::uint64_t count) { return below(count) == 0; }

    std::string any_of(const std::vector<std::string>& choices) { return choices[below(choices.size())]; }

    std::string space() { return one_in(8) ? any_of({" ", "\t", "  ", "\r"}) : ""; }

    std::string renamed(const std::string& name) {
        if (name == "series" && one_in(4)) {
            return "tree";
        }
        return name == "bucket" && one_in(4) ? "date" : name;
    }

    std::string number() {
        return any_of({"0", "1", "42", std::to_string(below(1'000'000)), "9223372036854775807",
                       "9223372036854775808", "18446744073709551615", "18446744073709551616", "-1", "1.5",
                       "1e3", "007", "-0", "null", "\"5\"", "9999999999999999999", "1234567890123456789"});
    }

    std::string plain_number() { return one_in(6) ? number() : std::to_string(below(100'000)); }

    std::string day() {
        return any_of({"20260505", "20260505", "20260506", "\"2026-05-05\"", "\"20260507\"", "20260230", "0",
                       "10101", "99991231", "100000101", "\"\"", "null", "20240229", "20230229", "[]"});
    }

    std::string list(const std::function<std::string()>& element) {
        std::string text = "[";
        for (std::uint64_t left = below(5); left > 0; --left) {
            text += space() + element() + space() + (left == 1 ? "" : ",");
        }
        return text + "]";
    }

    std::string value_of(const std::string& name) {
        if (name == "series") {
            return any_of({"\"links\"", "\"links\"", "\"a b\"", "\"\"", "\"q\\\"uote\"", "\"\\u0441\"",
                           "\"\xd1\x81\"", "\"\xff\"", "5", "null", "\"\x7f\""});
        }
        if (name == "bucket") {
            return day();
        }
        if (name == "range") {
            return any_of(
                {R"("today")", R"("last_month")", R"("tomorrow")", R"({"from":20260501,"to":20260531})",
                 R"({"to":20260531, "from":20260501})", R"({"from":20260531,"to":20260501})",
                 R"({"from":20260501})", "[]", "null", R"({"from":20260501,"to":20260531,"more":1})",
                 R"({"from":"20260501","to":20260531})", R"({"from":20260501,"to":20260531,"to":20260502})"});
        }
        if (name == "keys") {
            return one_in(8) ? "null" : list([this] { return plain_number(); });
        }
        if (name == "items") {
            return one_in(8) ? "{}" : list([this] {
                return one_in(12) ? "[1,2]" : "[" + plain_number() + "," + day() + "," + plain_number() + "]";
            });
        }
        return plain_number();
    }

    std::string damaged(std::string line) {
        const std::size_t at = below(line.size());
        switch (below(4)) {
            case 0: line.resize(at); break;
            case 1: line.erase(at, 1); break;
            case 2: line[at] = static_cast<char>(below(256)); break;
            default: line.insert(at, any_of({"{", "}", "\"", ",", ":", "0", "\\", "[", "]", "x"})); break;
        }
        return line;
    }

    std::mt19937_64& engine_;
};

void compare(std::size_t lines, const Access& access, bool accepts_writes) {
    std::mt19937_64 engine = karma::test::random_engine("fast decoder");
    LineMaker maker(engine);
    RequestDecoder decoder(access);
    std::size_t fast = 0;
    for (std::size_t i = 0; i < lines; ++i) {
        const std::string line = maker.make();
        const std::string general = describe(decoder.decode_general(line, accepts_writes));
        const std::string quick = describe(decoder.decode(line, accepts_writes));
        CAPTURE(line);
        REQUIRE(quick == general);
        fast += general.starts_with("error") ? 0U : 1U;
        decoder.release();
    }
    CHECK(fast > lines / 500);  // else the lines would prove little
}

/// A value of each field that the fast decoder can read, and of others of its ops. None is a default.
std::string sample_of(std::string_view field) {
    static const std::map<std::string_view, std::string> samples = {
        {"series", "\"links\""},
        {"key", "42"},
        {"bucket", "20260505"},
        {"value", "7"},
        {"range", R"({"from":20260501,"to":20260531})"},
        {"keys", "[1,2]"},
        {"items", "[[1,20260505,3]]"},
        {"idempotency_key", "\"k\""},
        {"fingerprint", "\"f\""},
        {"stream_id", "\"s\""},
        {"chunk_seq", "5"},
        {"as_of", "1"},
        {"reply", "\"total\""},
        {"tree", "\"links\""},
        {"date", "20260505"},
        {"last", "\"7d\""},
    };
    return samples.at(field);
}

std::string line_of(const karma::net::Op& op, const std::vector<std::string_view>& fields) {
    std::string line = R"({"v":2,"op":")" + std::string(op.name) + "\"";
    for (const std::string_view field : fields) {
        line.append(",\"").append(field).append("\":").append(sample_of(field));
    }
    return line + "}";
}

bool is_read_fast(const std::string& line) {
    const Access access("", "");
    boost::json::monotonic_resource arena;
    Request request;
    karma::net::Call call;
    return karma::net::FastDecoder(access).decode(line, true, arena, request, call);
}

/// What both decoders make of a line, which has to be the same.
std::string decoded(const std::string& line) {
    const Access access("", "");
    RequestDecoder decoder(access);
    std::string general = describe(decoder.decode_general(line, true));
    CHECK(describe(decoder.decode(line, true)) == general);
    CHECK_FALSE(general.starts_with("error"));
    return general;
}

std::vector<std::string_view> required_fields(const karma::net::Op& op) {
    std::vector<std::string_view> names;
    for (const karma::net::OpField& field : op.fields) {
        if (!field.is_optional) names.push_back(field.field->name);
    }
    return names;
}

}  // namespace

TEST_CASE("fast decoder: reads of each of its ops what is described, and nothing else") {
    for (const karma::net::Op* const op : karma::net::fast_ops()) {
        CAPTURE(op->name);
        const std::vector<std::string_view> required = required_fields(*op);
        const std::string least = line_of(*op, required);
        CHECK(is_read_fast(least));
        const std::string plain = decoded(least);
        for (const karma::net::OpField& field : karma::net::op_fields(*op)) {
            if (!field.is_optional) continue;
            CAPTURE(field.field->name);
            std::vector<std::string_view> more = required;
            more.push_back(field.field->name);
            // A fingerprint counts only beside an idempotency key.
            if (field.field->name == "fingerprint") more.emplace_back("idempotency_key");
            const std::string line = line_of(*op, more);
            CHECK(is_read_fast(line) == karma::net::is_read_fast(*field.field));
            // One that the fast decoder reads and forgets would be missing here; the past is not in the text.
            const bool differs = decoded(line) != plain;
            CHECK((differs || field.field->name == "as_of"));
        }
        // Under its other name a field is the same.
        for (const karma::net::OpField& field : op->fields) {
            if (field.field->other_name.empty()) continue;
            CAPTURE(field.field->other_name);
            std::vector<std::string_view> renamed = required;
            std::erase(renamed, field.field->name);
            renamed.push_back(field.field->other_name);
            const std::string line = line_of(*op, renamed);
            CHECK(is_read_fast(line));
            decoded(line);
        }
        const std::vector<std::string_view> taken = karma::net::op_field_names(*op);
        for (const char* const name :
             {"series", "key", "bucket", "value", "range", "keys", "items", "idempotency_key", "stream_id",
              "chunk_seq", "tree", "date", "last", "reply"}) {
            if (std::ranges::find(taken, name) != taken.end()) continue;
            CAPTURE(name);
            std::vector<std::string_view> more = required;
            more.emplace_back(name);
            CHECK_FALSE(is_read_fast(line_of(*op, more)));
        }
        for (const std::string_view left_out : required) {
            CAPTURE(left_out);
            std::vector<std::string_view> fewer = required;
            std::erase(fewer, left_out);
            CHECK_FALSE(is_read_fast(line_of(*op, fewer)));
        }
    }
    CHECK(karma::net::fast_ops().size() == 8);
}

TEST_CASE("fast decoder: agrees with the general one on random and damaged lines") {
    compare(karma::test::scaled(100'000), Access("", ""), true);
}

TEST_CASE("fast decoder: agrees with the general one about tokens and roles") {
    compare(karma::test::scaled(30'000), Access("secret", "read"), true);
    compare(karma::test::scaled(30'000), Access("", ""), false);
}

TEST_CASE("fast decoder: reads the common requests") {
    const Access access("", "");
    boost::json::monotonic_resource arena;
    for (
        const char* const line :
        {R"({"v":2,"op":"counter.increment","series":"links","key":42})",
         R"({"op":"counter.increment","value":7,"bucket":"2026-05-05","key":42,"tree":"links","v":2})",
         R"({"v":2,"op":"counter.sum","series":"links","key":42,"range":{"from":20260501,"to":20260531}})",
         R"({"v":2,"op":"counter.batch_sum","series":"links","keys":[1,2,3]})",
         R"({"v":2,"op":"ingest.chunk","stream_id":"s","series":"links","items":[[1,20260505,0]],"chunk_seq":7})",
         R"( { "v" : 2 , "op" : "series.batch_add" , "series" : "links" , "items" : [ [ 1 , 20260505 , 3 ] ] } )"}) {
        CAPTURE(line);
        Request request;
        karma::net::Call call;
        CHECK(karma::net::FastDecoder(access).decode(line, true, arena, request, call));
        CHECK(call.op != nullptr);
    }
}

TEST_CASE("fast decoder: a bucket of 0 is no day") {
    const Access access("", "");
    RequestDecoder decoder(access);
    CHECK(describe(decoder.decode(R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":0})",
                                  true)) == "error validation_error");
}
