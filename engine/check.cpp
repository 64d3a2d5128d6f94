#include "engine/check.h"

#include <algorithm>
#include <limits>

#include "engine/mutation_kinds.h"
#include "engine/preflight.h"
#include "engine/querier.h"

namespace karma {
namespace {

std::optional<Reply> refused(std::optional<Error> error) {
    return error ? std::optional<Reply>(std::move(*error)) : std::nullopt;
}

Reply refuse(ErrorCode code, std::string message) { return Error{code, std::move(message)}; }

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

/// What a repeat can have of the response that its request does not show.
struct Again {
    const IdempotencyIndex::Record& first;

    Reply operator()(const mutation::Increment& m) const { return reply::Number{m.value}; }
    Reply operator()(const mutation::Decrement& m) const { return reply::Number{m.value}; }
    Reply operator()(const mutation::BatchAdd& m) const {
        Uint128 total = 0;
        for (const mutation::Item& item : m.items) {
            total += item.value;
        }
        return reply::Added{m.items.size(), total};
    }
    Reply operator()(const mutation::BatchSet& m) const { return reply::Applied{m.items.size()}; }
    Reply operator()(const mutation::MultiAdd& m) const { return reply::Applied{m.items.size()}; }
    Reply operator()(const mutation::BatchReset&) const {
        return reply::BatchResetDone{first.first_count, first.second_count};
    }
    Reply operator()(const mutation::BatchDeleteRange&) const {
        return reply::BatchDeleted{first.first_count, first.second_count};
    }
    Reply operator()(const mutation::DeleteCounterRange&) const { return reply::Deleted{}; }
    Reply operator()(const mutation::DeleteSeriesRange&) const { return reply::Deleted{}; }
    Reply operator()(const mutation::ResetCounter&) const { return reply::Ok{}; }
    Reply operator()(const mutation::ResetSeries&) const { return reply::Ok{}; }
    Reply operator()(const mutation::BeginStream&) const { return reply::Ok{}; }
    Reply operator()(const mutation::AddChunk&) const { return reply::Ok{}; }
    template <Unkeyed M>
    Reply operator()(const M&) const {
        return reply::Ok{};
    }
};

}  // namespace

std::optional<Reply> Checker::operator()(const mutation::Increment& m) const {
    return refused(check_increment(engine_.find_series(m.series), m));
}

std::optional<Reply> Checker::operator()(const mutation::BatchAdd& m) const {
    return refused(check_batch_add(engine_.find_series(m.series), m.items));
}

std::optional<Reply> Checker::operator()(const mutation::BatchSet& m) const {
    return refused(check_batch_set(engine_.find_series(m.series), m.items));
}

std::optional<Reply> Checker::operator()(const mutation::MultiAdd& m) const {
    return refused(
        check_multi_add([this](std::string_view name) { return engine_.find_series(name); }, m.items));
}

std::optional<Reply> Checker::must_exist(std::string_view series) const {
    if (engine_.find_series(series) != nullptr) {
        return std::nullopt;
    }
    return series_not_found(series);
}

std::optional<Reply> Checker::operator()(const mutation::AddChunk& m) const {
    const IngestStreams::Stream* const stream = engine_.streams().find(m.stream_id);
    if (stream == nullptr) {
        return stream_not_found(m.stream_id);
    }
    const StreamInfo& info = stream->info;
    if (info.has_chunk(m.chunk_seq, *m.fingerprint)) {
        return reply::ChunkSkipped{info.id, m.chunk_seq, info.is_committed()};
    }
    if (info.is_committed()) {
        return refuse(ErrorCode::idempotency_conflict,
                      "Ingest stream was already committed with different chunks");
    }
    if (info.series && *info.series != m.series) {
        return refuse(ErrorCode::validation_error,
                      "Ingest stream is already bound to series " + quoted(*info.series));
    }
    if (m.chunk_seq <= info.last_chunk_seq()) {
        return refuse(ErrorCode::idempotency_conflict,
                      "Ingest chunk " + std::to_string(m.chunk_seq) + " was already used with other items");
    }
    if (m.chunk_seq != info.last_chunk_seq() + 1) {
        return refuse(ErrorCode::validation_error,
                      "Field chunk_seq must be the next chunk, " + std::to_string(info.last_chunk_seq() + 1));
    }
    return check_items(*stream, m);
}

std::optional<Reply> Checker::check_items(const IngestStreams::Stream& stream,
                                          const mutation::AddChunk& m) const {
    switch (stream.info.mode) {
        case IngestMode::add: {
            const bool has_zero =
                std::ranges::any_of(m.items, [](const mutation::Item& item) { return item.value == 0; });
            if (has_zero) {
                return refuse(ErrorCode::validation_error, "Field items[][2] must be greater than 0");
            }
            return refused(check_batch_add(engine_.find_series(m.series), m.items));
        }
        case IngestMode::set: return refused(check_batch_set(engine_.find_series(m.series), m.items));
        case IngestMode::replace_series: return refused(check_batch_set(stream.staged.get(), m.items));
    }
    return std::nullopt;
}

/// Gives days to a mutation that left them to the clock.
void resolve_day(Mutation& body, std::int64_t now_ms) noexcept {
    std::visit(
        [&](auto& m) {
            if constexpr (requires { m.day; }) {
                if (m.day == today) {
                    m.day = day_from_unix_ms(now_ms);
                }
            }
            if constexpr (requires { m.range; }) {
                m.range = m.range.at(now_ms);
            }
        },
        body);
}

Reply reply_again(const Mutation& body, const IdempotencyIndex::Record& first) {
    return std::visit(Again{first}, body);
}

IdempotencyIndex::Record index_record(const IdempotencyRecord& record, const KeyHash& key) noexcept {
    constexpr std::int64_t seconds_max = std::numeric_limits<std::uint32_t>::max();
    IdempotencyIndex::Record kept;
    kept.key = key;
    kept.set_fingerprint(record.fingerprint);
    kept.lsn = record.lsn;
    kept.created_unix =
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(record.created_at_unix, 0, seconds_max));
    // Counts of keys of one request, which fit: a request has less than 2^30 bytes.
    kept.first_count = static_cast<std::uint32_t>(record.response[0]);
    kept.second_count = static_cast<std::uint32_t>(record.response[1]);
    return kept;
}

}  // namespace karma
