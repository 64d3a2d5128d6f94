// Tokens, what they allow, and the series that they are for.
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "net/access.h"
#include "net/request_decoder.h"
#include "net/token_set.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

using net::AccessLevel;
using net::glob_matches;
using net::NamedToken;
using net::SeriesGlobs;
using net::TokenSet;

// The rule itself, of ASCII.
bool matches_slowly(std::string_view glob, std::string_view text) {
    if (glob.empty()) return text.empty();
    if (glob[0] == '*') {
        return matches_slowly(glob.substr(1), text) ||
               (!text.empty() && matches_slowly(glob, text.substr(1)));
    }
    return !text.empty() && (glob[0] == '?' || glob[0] == text[0]) &&
           matches_slowly(glob.substr(1), text.substr(1));
}

NamedToken token_for(const std::string& token, AccessLevel access, std::vector<std::string> globs = {}) {
    return {.name = "of " + token, .token = token, .access = access, .series = SeriesGlobs(std::move(globs))};
}

// What the general path and both paths together say to a request of that token.
std::string denial_of(const net::Access& access, const std::string& token, const std::string& op,
                      const std::string& fields) {
    const std::string line = R"({"v":2,"op":")" + op + R"(","token":")" + token + "\"" +
                             (fields.empty() ? "" : ",") + fields + "}";
    net::RequestDecoder decoder(access);
    const net::Decoded general = decoder.decode_general(line, true);
    const net::Decoded quick = decoder.decode(line, true);
    const auto* const refused = std::get_if<Error>(&general);
    const auto* const refused_quickly = std::get_if<Error>(&quick);
    REQUIRE((refused == nullptr) == (refused_quickly == nullptr));
    if (refused == nullptr) return {};
    CHECK(refused->message == refused_quickly->message);
    CHECK(refused->code == refused_quickly->code);
    return refused->message;
}

}  // namespace

TEST_CASE("token set: patterns") {
    CHECK(glob_matches("links", "links"));
    CHECK_FALSE(glob_matches("links", "links2"));
    CHECK_FALSE(glob_matches("links", "link"));
    CHECK(glob_matches("*", ""));
    CHECK(glob_matches("*", "anything"));
    CHECK(glob_matches("shop.*", "shop."));
    CHECK(glob_matches("shop.*", "shop.a.b"));
    CHECK_FALSE(glob_matches("shop.*", "shop"));
    CHECK(glob_matches("*:clicks:*", "a:b:clicks:c"));
    CHECK(glob_matches("a?c", "abc"));
    CHECK(glob_matches("a?c",
                       "a\xc3\xa9"
                       "c"));
    CHECK_FALSE(glob_matches("a??c",
                             "a\xc3\xa9"
                             "c"));
    CHECK_FALSE(glob_matches("", "a"));
    CHECK(glob_matches("", ""));
}

TEST_CASE("token set: patterns match as the rule says") {
    auto random = random_engine("patterns of series");
    const auto drawn = [&](std::string_view letters, std::size_t length_max) {
        std::string text(random_between(random, 0, length_max), ' ');
        for (char& c : text) c = letters[random_between(random, 0, letters.size() - 1)];
        return text;
    };
    std::size_t matched = 0;
    for (std::size_t i = 0; i < scaled(20'000); ++i) {
        const std::string glob = drawn("ab*?", 8);
        const std::string text = drawn("ab", 8);
        CAPTURE(glob);
        CAPTURE(text);
        const bool is_match = matches_slowly(glob, text);
        matched += is_match ? 1 : 0;
        CHECK(glob_matches(glob, text) == is_match);
    }
    CHECK(matched != 0);
}

TEST_CASE("token set: a token allows what its entry says, and the more of two that are equal") {
    const TokenSet tokens({token_for("", AccessLevel::admin), token_for("r", AccessLevel::read),
                           token_for("w", AccessLevel::write, {"a*", "b"}),
                           token_for("both", AccessLevel::read), token_for("both", AccessLevel::admin)});
    CHECK_FALSE(tokens.is_open());
    CHECK(tokens.find("").level == AccessLevel::none);
    CHECK(tokens.find("R").level == AccessLevel::none);
    CHECK(tokens.find("r").level == AccessLevel::read);
    CHECK(tokens.find("r").series == nullptr);
    CHECK(tokens.find("both").level == AccessLevel::admin);
    const net::Grant grant = tokens.find("w");
    CHECK(grant.level == AccessLevel::write);
    REQUIRE(grant.series != nullptr);
    CHECK(grant.series->match("abc"));
    CHECK(grant.series->match("b"));
    CHECK_FALSE(grant.series->match("ba"));
    CHECK_FALSE(SeriesGlobs({"*"}).match(std::string(SeriesGlobs::name_bytes_max + 1, 'a')));
    CHECK(TokenSet().is_open());
    CHECK(TokenSet().find("anything").level == AccessLevel::admin);
    CHECK(TokenSet({token_for("", AccessLevel::read)}).is_open());
}

TEST_CASE("token set: tokens that are replaced count at once") {
    net::Access access("all", "read");
    CHECK(access.level("all") == AccessLevel::admin);
    access.replace(TokenSet({token_for("new", AccessLevel::write)}));
    CHECK(access.level("all") == AccessLevel::none);
    CHECK(access.level("new") == AccessLevel::write);
}

TEST_CASE("token set: a token for certain series is refused on others, by both ways of decoding") {
    const net::Access access(TokenSet({token_for("t", AccessLevel::write, {"shop.*", "links"}),
                                       token_for("r", AccessLevel::read, {"shop.*"})}));
    const auto denied = [&](const std::string& op, const std::string& fields,
                            const std::string& token = "t") {
        const std::string why = denial_of(access, token, op, fields);
        if (!why.empty()) CHECK(why == "Token for certain series cannot execute " + op + " on others");
        return !why.empty();
    };
    CHECK_FALSE(denied("counter.increment", R"("series":"links","key":1)"));
    CHECK_FALSE(denied("counter.increment", R"("tree":"shop.a","key":1,"idempotency_key":"k")"));
    CHECK(denied("counter.increment", R"("series":"link","key":1)"));
    CHECK(denied("counter.increment", R"("series":"shop","key":1,"idempotency_key":"k")"));
    CHECK(denied("counter.sum", R"("series":"other","key":1)", "r"));
    CHECK_FALSE(denied("counter.sum", R"("series":"shop.x","key":1)", "r"));
    CHECK(denied("counter.sum", R"("series":"links","key":1)", "r"));
    CHECK_FALSE(denied("series.batch_add", R"("series":"links","items":[[1,20260505,1]])"));
    CHECK(denied("series.batch_add", R"("series":"other","items":[[1,20260505,1]])"));
    CHECK_FALSE(
        denied("counter.multi_sum", R"("items":[{"series":"links","key":1},{"series":"shop.b","key":2}])"));
    CHECK(denied("counter.multi_sum", R"("items":[{"series":"links","key":1},{"series":"b","key":2}])"));
    CHECK_FALSE(denied("tree.drop", R"("series":"links")"));
    CHECK(denied("tree.drop", R"("series":"other")"));
    CHECK_FALSE(denied("snapshot.create", R"("series":"links")"));
    CHECK_FALSE(denied("event.list", R"("series":"links")"));
    CHECK(denied("event.list", ""));
    CHECK(denied("tree.list", ""));
    CHECK(denied("system.stats", ""));
    CHECK(denied("ingest.begin", R"("stream_id":"s","mode":"add")"));
    CHECK(
        denied("ingest.chunk", R"("stream_id":"s","series":"links","chunk_seq":1,"items":[[1,20260505,1]])"));
    CHECK(denied("export.begin", R"("series":"links")"));
    CHECK_FALSE(denied("system.ping", ""));
    CHECK_FALSE(denied("system.health", ""));
    CHECK(denial_of(access, "r", "counter.increment", R"("series":"shop.a","key":1)") ==
          "Read-only token cannot execute counter.increment");
    CHECK(denial_of(access, "t", "replication.promote", "") ==
          "Token without admin access cannot execute replication.promote");
    CHECK(denial_of(access, "t", "snapshot.load", R"("file":"a.tree")") ==
          "Token without admin access cannot execute snapshot.load");
}

}  // namespace karma::test
