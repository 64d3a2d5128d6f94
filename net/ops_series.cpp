#include "net/op_catalog.h"

namespace karma::net {
namespace {

using F = const Fields&;

constexpr Bounds keys_bounds{1, 10'000, 100};
constexpr Bounds top_bounds{1, 1'000, 50};

Decoded tree_create(F f) { return Mutation(mutation::CreateSeries{f.series()}); }
Decoded tree_drop(F f) { return Mutation(mutation::DropSeries{f.series()}); }
Decoded tree_list(F f) { return query::ListSeries{f.page(), f.response_bytes_max()}; }
Decoded tree_info(F f) { return query::SeriesInfo{f.series()}; }
Decoded tree_keys(F f) {
    return query::SeriesKeys{f.series(), limit_within(f, keys_bounds), f.nullable_number("cursor")};
}
Decoded tree_top(F f) {
    return query::SeriesTop{f.series(), limit_within(f, top_bounds), f.optional_range(), f.as_of()};
}
Decoded tree_summary(F f) { return query::SeriesSummary{f.series(), f.optional_range(), f.as_of()}; }
Decoded tree_series(F f) { return query::SeriesPoints{f.series(), f.range()}; }
Decoded series_totals(F f) { return query::BucketTotals{f.series(), f.range(), f.as_of()}; }
Decoded tree_reset(F f) { return Mutation(mutation::ResetSeries{f.series()}); }
Decoded tree_delete_range(F f) { return Mutation(mutation::DeleteSeriesRange{f.series(), f.range()}); }
Decoded delete_before(F f) { return Mutation(mutation::DeleteBefore{f.series(), f.day("before", "date")}); }
Decoded compact_series(F f) { return Mutation(mutation::CompactSeries{f.series()}); }

}  // namespace

const OpGroup& series_ops() {
    static const OpGroup group = {
        .title = "Series",
        .introduction = "A series, in the names of ops and fields also called a tree, is a set of counters.",
        .ops = {
            {.name = "tree.create",
             .access = OpAccess::write,
             .summary = "Makes a series, if it is not there.",
             .fields = {needs(field::series)},
             .reply = "`\"OK\"`, also where it was there",
             .errors = {too_many_series},
             .example = {.request = R"({"v":2,"op":"tree.create","series":"visits"})", .reply = R"("OK")"},
             .decode = tree_create},
            {.name = "tree.drop",
             .access = OpAccess::write,
             .summary = "Removes a series with all that it holds.",
             .fields = {needs(field::series)},
             .reply = "`\"OK\"`",
             .errors = {no_series},
             .example = {.request = R"({"v":2,"op":"tree.drop","series":"visits"})", .reply = R"("OK")"},
             .decode = tree_drop},
            {.name = "tree.list",
             .summary = "The names of all series, in order.",
             .fields = {may(field::limit, page_bounds), may(field::cursor, "the first page")},
             .reply = "an array of names; with `limit` or `cursor` the object "
                      "`{\"trees\":[…],\"limit\",\"cursor\",\"next_cursor\"}`",
             .errors = {too_long},
             .example =
                 {.before =
                      {R"({"v":2,"op":"counter.increment","series":"pages","key":1,"bucket":20260505,"value":5})",
                       R"({"v":2,"op":"counter.increment","series":"pages","key":2,"bucket":20260506,"value":9})"},
                  .request = R"({"v":2,"op":"tree.list","limit":1})",
                  .reply = R"({"trees":["links"],"limit":1,"cursor":null,"next_cursor":"links"})"},
             .decode = tree_list},
            {.name = "tree.info",
             .summary = "How much a series holds.",
             .fields = {needs(field::series)},
             .reply = "`tree`: the series; `key_count`, `bucket_count`; `total`: the sum of all values; "
                      "`branches`: the parts that it is stored in",
             .errors = {no_series},
             .example = {.request = R"({"v":2,"op":"tree.info","series":"pages"})",
                         .reply =
                             R"({"tree":"pages","key_count":2,"bucket_count":2,"total":14,"branches":"…"})"},
             .decode = tree_info},
            {.name = "tree.keys",
             .summary = "The keys of a series with their totals, in order, in pages.",
             .fields = {needs(field::series), may(field::limit, keys_bounds),
                        may(field::key_cursor, "from the first key")},
             .reply = "`keys`: objects with `key` and `total`, ascending; `next_cursor`: null at the end. A "
                      "key whose buckets are gone is listed with 0 until series.compact",
             .errors = {no_series, too_slow, too_long},
             .example =
                 {.request = R"({"v":2,"op":"tree.keys","series":"pages","limit":1})",
                  .reply =
                      R"({"tree":"pages","limit":1,"cursor":null,"next_cursor":1,"keys":[{"key":1,"total":5}]})"},
             .decode = tree_keys},
            {.name = "tree.top",
             .summary = "The keys with the greatest sums.",
             .fields = {needs(field::series), may(field::limit, top_bounds), may(field::range, all_buckets),
                        may(field::as_of, present_state)},
             .reply = "`items`: objects with `key` and `value`, greatest value first, of the same value the "
                      "smallest key first; none with 0",
             .errors = {no_series, forgotten_past, too_slow, too_long},
             .example =
                 {.request = R"({"v":2,"op":"tree.top","series":"pages","limit":10})",
                  .reply =
                      R"({"tree":"pages","limit":10,"items":[{"key":2,"value":9},{"key":1,"value":5}]})"},
             .decode = tree_top},
            {.name = "tree.summary",
             .summary = "The sum of a series, over all keys.",
             .fields = {needs(field::series), may(field::range, all_buckets),
                        may(field::as_of, present_state)},
             .reply = "`total`; `active_keys`: all keys, with a range those with a value in it; "
                      "`bucket_count`; with a range also `range_from` and `range_to`",
             .errors = {no_series, forgotten_past, too_slow},
             .example =
                 {.request =
                      R"({"v":2,"op":"tree.summary","series":"pages","range":{"from":20260505,"to":20260505}})",
                  .reply =
                      R"({"tree":"pages","range_from":20260505,"range_to":20260505,"total":5,"active_keys":1,"bucket_count":1})"},
             .decode = tree_summary},
            {.name = "tree.series",
             .summary = "All buckets of all keys in a range.",
             .fields = {needs(field::series), needs(field::range)},
             .reply = "an object of key and buckets; a key without buckets in the range has `{}`",
             .errors = {no_series, too_slow, too_long},
             .example =
                 {.request =
                      R"({"v":2,"op":"tree.series","series":"pages","range":{"from":20260505,"to":20260505}})",
                  .reply = R"({"1":{"20260505":5},"2":{}})"},
             .decode = tree_series},
            {.name = "series.totals",
             .summary = "The sums of the buckets of a series in a range, over all keys.",
             .fields = {needs(field::series), needs(field::range), may(field::as_of, present_state)},
             .reply = "an object of bucket and sum, ascending, without buckets of 0",
             .errors = {no_series, forgotten_past, too_slow, too_long},
             .example =
                 {.request =
                      R"({"v":2,"op":"series.totals","series":"pages","range":{"from":"2026-05-01","to":"2026-05-31"}})",
                  .reply = R"({"20260505":5,"20260506":9})"},
             .decode = series_totals},
            {.name = "tree.delete_range",
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Removes the buckets of all keys in a range.",
             .fields = {needs(field::series), needs(field::range)},
             .reply = "`true`, whether or not there were any",
             .errors = {no_series},
             .example =
                 {.request =
                      R"({"v":2,"op":"tree.delete_range","series":"pages","range":{"from":20260506,"to":20260506}})",
                  .reply = "true"},
             .decode = tree_delete_range},
            {.name = "series.delete_before",
             .aliases = {"tree.delete_before"},
             .access = OpAccess::write,
             .summary = "Removes all older buckets, then the keys that are left without any.",
             .fields = {needs(field::series), needs(field::before_day)},
             .reply = "`\"OK\"`",
             .errors = {no_series},
             .example = {.request =
                             R"({"v":2,"op":"series.delete_before","series":"pages","before":"2026-05-05"})",
                         .reply = R"("OK")"},
             .decode = delete_before},
            {.name = "series.compact",
             .aliases = {"tree.compact"},
             .access = OpAccess::write,
             .summary = "Removes the keys of a series that have no buckets.",
             .fields = {needs(field::series)},
             .reply = "`\"OK\"`",
             .errors = {no_series},
             .example = {.request = R"({"v":2,"op":"series.compact","series":"pages"})", .reply = R"("OK")"},
             .decode = compact_series},
            {.name = "tree.reset",
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Removes all counters of a series, which stays. Makes it where it is missing.",
             .fields = {needs(field::series)},
             .reply = "`\"OK\"`",
             .errors = {too_many_series},
             .example = {.request = R"({"v":2,"op":"tree.reset","series":"pages"})", .reply = R"("OK")"},
             .decode = tree_reset},
        }};
    return group;
}

}  // namespace karma::net
