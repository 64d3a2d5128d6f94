#include "net/op_catalog.h"

namespace karma::net {
namespace {

using F = const Fields&;

Decoded increment(F f) {
    return Mutation(
        mutation::Increment{f.series(), f.number("key"), f.bucket(), f.value(), f.shows_totals()});
}
Decoded decrement(F f) {
    return Mutation(
        mutation::Decrement{f.series(), f.number("key"), f.bucket(), f.value(), f.shows_totals()});
}
Decoded sum(F f) { return query::Sum{f.series(), f.number("key"), f.optional_range(), f.as_of()}; }
Decoded points(F f) { return query::Points{f.series(), f.number("key"), f.range(), f.as_of()}; }
Decoded batch_sum(F f) { return query::BatchSum{f.series(), f.keys(), f.optional_range(), f.as_of()}; }
Decoded multi_sum(F f) { return query::MultiSum{f.series_keys(), f.optional_range()}; }
Decoded counter_reset(F f) { return Mutation(mutation::ResetCounter{f.series(), f.number("key")}); }
Decoded batch_reset(F f) { return Mutation(mutation::BatchReset{f.series(), f.keys()}); }
Decoded counter_delete_range(F f) {
    return Mutation(mutation::DeleteCounterRange{f.series(), f.number("key"), f.range()});
}
Decoded batch_delete_range(F f) {
    return Mutation(mutation::BatchDeleteRange{f.series(), f.keys(), f.range()});
}
Decoded batch_add(F f) { return Mutation(mutation::BatchAdd{f.series(), f.items(1)}); }
Decoded multi_add(F f) { return Mutation(mutation::MultiAdd{f.series_items()}); }
Decoded batch_set(F f) { return Mutation(mutation::BatchSet{f.series(), f.items(0)}); }

constexpr Bounds added_bounds{1, std::numeric_limits<std::uint64_t>::max(), 1};
constexpr std::string_view totals_reply =
    "the amount; with `reply` as `total` an object of `value`, the amount, `bucket_total` and `key_total`, "
    "the sums of the bucket and of the key after the request";
constexpr std::string_view present_day = "the current UTC day";

}  // namespace

const OpGroup& counter_ops() {
    static const OpGroup group = {
        .title = "Counters",
        .introduction =
            "A counter is a key of a series with its buckets. An op that adds makes the series and the key "
            "where they are missing.",
        .ops = {
            {.name = "counter.increment",
             .aliases = {"series.increment"},
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Adds to a bucket of a counter.",
             .fields = {needs(field::series), needs(field::key), may(field::bucket, present_day),
                        may(field::value, added_bounds), may(field::reply, "`value`")},
             .reply = totals_reply,
             .errors = {{ErrorCode::validation_error,
                         "the bucket or the total of the key would pass 18446744073709551615"},
                        too_many_series},
             .example =
                 {.request =
                      R"({"v":2,"op":"counter.increment","series":"links","key":42,"bucket":20260505,"value":7})",
                  .reply = "7"},
             .decode = increment},
            {.name = "counter.decrement",
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Takes from a bucket of a counter, which stops at 0 and is gone then.",
             .fields = {needs(field::series), needs(field::key), may(field::bucket, present_day),
                        may(field::value, added_bounds), may(field::reply, "`value`")},
             .reply = "the amount that was asked for, also where less was there; with `reply` as `total` as "
                      "counter.increment",
             .errors = {too_many_series},
             .example =
                 {.request =
                      R"({"v":2,"op":"counter.decrement","series":"links","key":42,"bucket":20260505,"value":2})",
                  .reply = "2"},
             .decode = decrement},
            {.name = "counter.sum",
             .aliases = {"series.sum"},
             .summary = "The sum of a counter's buckets.",
             .fields = {needs(field::series), needs(field::key), may(field::range, all_buckets),
                        may(field::as_of, present_state)},
             .reply = "the sum; 0 for a key that is not there",
             .errors = {no_series, forgotten_past, too_slow},
             .example =
                 {.request =
                      R"({"v":2,"op":"counter.sum","series":"links","key":42,"range":{"from":20260501,"to":20260531}})",
                  .reply = "5"},
             .decode = sum},
            {.name = "counter.series",
             .aliases = {"series.points"},
             .summary = "The buckets of a counter.",
             .fields = {needs(field::series), needs(field::key), needs(field::range),
                        may(field::as_of, present_state)},
             .reply = "an object of bucket and value, ascending; empty for a key that is not there",
             .errors = {no_series, forgotten_past, too_slow, too_long},
             .example =
                 {.before =
                      {R"({"v":2,"op":"counter.increment","series":"links","key":42,"bucket":"2026-05-06"})"},
                  .request =
                      R"({"v":2,"op":"counter.series","series":"links","key":42,"range":{"from":20260501,"to":20260531}})",
                  .reply = R"({"20260505":5,"20260506":1})"},
             .decode = points},
            {.name = "counter.reset",
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Removes all buckets of a counter. Makes the series where it is missing.",
             .fields = {needs(field::series), needs(field::key)},
             .reply = "`\"OK\"`",
             .errors = {too_many_series},
             .example = {.request = R"({"v":2,"op":"counter.reset","series":"links","key":9})",
                         .reply = R"("OK")"},
             .decode = counter_reset},
            {.name = "counter.delete_range",
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Removes the buckets of a counter in a range.",
             .fields = {needs(field::series), needs(field::key), needs(field::range)},
             .reply = "`true`, whether or not there were any",
             .errors = {no_series},
             .example =
                 {.request =
                      R"({"v":2,"op":"counter.delete_range","series":"links","key":42,"range":{"from":20260506,"to":20260506}})",
                  .reply = "true"},
             .decode = counter_delete_range},
        }};
    return group;
}

const OpGroup& many_counter_ops() {
    static const OpGroup group = {
        .title = "Many counters at once",
        .introduction =
            "A request that changes many counters changes all of them or, where it is refused, none.",
        .ops = {
            {.name = "counter.batch_sum",
             .aliases = {"series.batch_sum"},
             .summary = "The sums of many counters of one series.",
             .fields = {needs(field::series), needs(field::keys), may(field::range, all_buckets),
                        may(field::as_of, present_state)},
             .reply = "an array of objects with `key` and `value`, in the order of the request",
             .errors = {no_series, forgotten_past, too_slow, too_long},
             .example = {.request = R"({"v":2,"op":"counter.batch_sum","series":"links","keys":[42,7]})",
                         .reply = R"([{"key":42,"value":5},{"key":7,"value":0}])"},
             .decode = batch_sum},
            {.name = "counter.multi_sum",
             .summary = "The sums of many counters of several series.",
             .fields = {needs(field::series_keys), may(field::range, all_buckets)},
             .reply = "an array of objects with `series`, `key` and `value`, in the order of the request",
             .errors = {{ErrorCode::not_found, "one of the series does not exist"}, too_long},
             .example =
                 {.request =
                      R"({"v":2,"op":"counter.multi_sum","items":[{"series":"links","key":42},{"series":"links","key":7}]})",
                  .reply = R"([{"series":"links","key":42,"value":5},{"series":"links","key":7,"value":0}])"},
             .decode = multi_sum},
            {.name = "counter.multi_add",
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Adds to many buckets of several series, all or none of them.",
             .fields = {needs(
                 field::series_items,
                 "the points, at least one; without `bucket` of the current UTC day, without `value` 1")},
             .reply = "`applied`: the number of points",
             .errors = {{ErrorCode::validation_error,
                         "a bucket or the total of a key would pass 18446744073709551615"},
                        too_many_series},
             .example =
                 {.request =
                      R"({"v":2,"op":"counter.multi_add","items":[{"series":"links","key":11,"bucket":20260505,"value":3},{"series":"orders","key":11,"bucket":20260505}]})",
                  .reply = R"({"applied":2})"},
             .decode = multi_add},
            {.name = "series.batch_add",
             .aliases = {"counter.batch_increment"},
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Adds to many buckets of a series, all or none of them.",
             .fields = {needs(field::series),
                        needs(field::items, "the points; each value is at least 1, and points may repeat")},
             .reply = "`applied`: the number of points; `total`: the sum of their values",
             .errors = {{ErrorCode::validation_error,
                         "a bucket or the total of a key would pass 18446744073709551615"},
                        too_many_series},
             .example =
                 {.request =
                      R"({"v":2,"op":"series.batch_add","series":"links","items":[[7,20260505,3],[8,"2026-05-05",4]]})",
                  .reply = R"({"applied":2,"total":7})"},
             .decode = batch_add},
            {.name = "series.batch_set",
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Sets many buckets of a series to values, all or none of them.",
             .fields = {needs(field::series), needs(field::items,
                                                    "the points; a value of 0 removes the bucket, and of "
                                                    "points of the same bucket the last one counts")},
             .reply = "`applied`: the number of points",
             .errors = {{ErrorCode::validation_error, "the total of a key would pass 18446744073709551615"},
                        too_many_series},
             .example =
                 {.request =
                      R"({"v":2,"op":"series.batch_set","series":"links","items":[[8,20260505,40],[9,20260505,1]]})",
                  .reply = R"({"applied":2})"},
             .decode = batch_set},
            {.name = "counter.batch_reset",
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Removes all buckets of many counters. Makes the series where it is missing.",
             .fields = {needs(field::series), needs(field::keys)},
             .reply = "`reset`: keys that had values; `missing`: keys that had none",
             .errors = {too_many_series},
             .example = {.request = R"({"v":2,"op":"counter.batch_reset","series":"links","keys":[8,1000]})",
                         .reply = R"({"reset":1,"missing":1})"},
             .decode = batch_reset},
            {.name = "counter.batch_delete_range",
             .access = OpAccess::write,
             .idempotent = true,
             .summary = "Removes the buckets of many counters in a range.",
             .fields = {needs(field::series), needs(field::keys), needs(field::range)},
             .reply = "`deleted`: keys that had buckets in the range; `missing`: keys that had none",
             .errors = {no_series},
             .example =
                 {.request =
                      R"({"v":2,"op":"counter.batch_delete_range","series":"links","keys":[7,1000],"range":{"from":20260501,"to":20260531}})",
                  .reply = R"({"deleted":1,"missing":1})"},
             .decode = batch_delete_range},
        }};
    return group;
}

}  // namespace karma::net
