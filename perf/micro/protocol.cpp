#include <string>

#include <benchmark/benchmark.h>

#include "net/reply_writer.h"
#include "net/request_decoder.h"

namespace {

using karma::net::Access;
using karma::net::RequestDecoder;

constexpr int items = 1'000;

const std::string increment =
    R"({"v":2,"op":"counter.increment","series":"links","key":42,"bucket":20260505,"value":7})";

std::string batch_add() {
    std::string line = R"({"v":2,"op":"series.batch_add","series":"links","items":[)";
    for (int i = 0; i < items; ++i) {
        line +=
            (i == 0 ? "[" : ",[") + std::to_string(i * 97) + ",20260505," + std::to_string(i % 9 + 1) + "]";
    }
    return line + "]}";
}

void decode(benchmark::State& state, const std::string& line, bool general, int count) {
    const Access access("", "");
    RequestDecoder decoder(access);
    karma::Request request;
    karma::net::Call call;
    for (auto _ : state) {
        if (general) {
            benchmark::DoNotOptimize(decoder.decode_general(line, true));
        } else {
            benchmark::DoNotOptimize(decoder.decode(line, true, request, call));
        }
        decoder.release();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * count);
}

void decode_increment(benchmark::State& state) { decode(state, increment, false, 1); }
void decode_increment_general(benchmark::State& state) { decode(state, increment, true, 1); }
void decode_batch_add(benchmark::State& state) { decode(state, batch_add(), false, items); }
void decode_batch_add_general(benchmark::State& state) { decode(state, batch_add(), true, items); }
BENCHMARK(decode_increment);
BENCHMARK(decode_increment_general);
BENCHMARK(decode_batch_add);
BENCHMARK(decode_batch_add_general);

void write_number(benchmark::State& state) {
    const karma::net::ReplyWriter writer(1 << 20);
    const karma::Reply reply = karma::reply::Number{12'345};
    const karma::NoDeadline never;
    std::string out;
    for (auto _ : state) {
        out.clear();
        benchmark::DoNotOptimize(writer.write(reply, karma::Deduplication::no_key, never, out));
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(write_number);

void write_batch_sum(benchmark::State& state) {
    const karma::net::ReplyWriter writer(0);
    karma::reply::Sums sums;
    for (int i = 0; i < items; ++i) {
        sums.items.push_back({static_cast<std::uint64_t>(i) * 97, static_cast<std::uint64_t>(i) * 31});
    }
    const karma::Reply reply = std::move(sums);
    const karma::NoDeadline never;
    std::string out;
    for (auto _ : state) {
        out.clear();
        benchmark::DoNotOptimize(writer.write(reply, karma::Deduplication::no_key, never, out));
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * items);
}
BENCHMARK(write_batch_sum);

}  // namespace
