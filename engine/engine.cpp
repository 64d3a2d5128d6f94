#include "engine/engine.h"

#include <algorithm>
#include <type_traits>

#include "engine/apply.h"
#include "engine/preflight.h"
#include "engine/querier.h"

namespace karma {
namespace {

/// Why a mutation cannot be accepted in the state that the engine is in, if so.
class Checker {
public:
    explicit Checker(const Engine& engine) : engine_(engine) {}

    std::optional<Error> operator()(const mutation::Increment& m) const {
        return check_increment(engine_.find_series(m.series), m);
    }
    std::optional<Error> operator()(const mutation::BatchAdd& m) const {
        return check_batch_add(engine_.find_series(m.series), m.items);
    }
    std::optional<Error> operator()(const mutation::BatchSet& m) const {
        return check_batch_set(engine_.find_series(m.series), m.items);
    }
    std::optional<Error> operator()(const mutation::DropSeries& m) const { return must_exist(m.series); }
    std::optional<Error> operator()(const mutation::BatchReset& m) const { return must_exist(m.series); }
    std::optional<Error> operator()(const mutation::BatchDeleteRange& m) const {
        return must_exist(m.series);
    }
    std::optional<Error> operator()(const mutation::DeleteBefore& m) const { return must_exist(m.series); }
    std::optional<Error> operator()(const mutation::CompactSeries& m) const { return must_exist(m.series); }
    std::optional<Error> operator()(const mutation::SaveCheckpoint& m) const {
        if (engine_.has_room_for_checkpoint(m.source)) {
            return std::nullopt;
        }
        return Error{ErrorCode::validation_error, "Field source is new, and " +
                                                      std::to_string(Engine::checkpoints_max) +
                                                      " sources are kept at most"};
    }
    template <typename Other>
    std::optional<Error> operator()(const Other&) const {
        return std::nullopt;
    }

private:
    std::optional<Error> must_exist(std::string_view series) const {
        if (engine_.find_series(series) != nullptr) {
            return std::nullopt;
        }
        return series_not_found(series);
    }

    const Engine& engine_;
};

/// Gives a day to a mutation that left it to the clock.
void resolve_day(Mutation& body, std::int64_t now_ms) noexcept {
    std::visit(
        [&](auto& m) {
            if constexpr (requires { m.day; }) {
                if (m.day == today) {
                    m.day = day_from_unix_ms(now_ms);
                }
            }
        },
        body);
}

Digest digest_of(const reply::Checkpoint& checkpoint) noexcept {
    const std::uint64_t source = hash_text(checkpoint.source, 2);
    const std::uint64_t offset = checkpoint.offset ? hash_text(*checkpoint.offset, 3) : 0;
    const std::uint64_t event_id = checkpoint.event_id ? hash_text(*checkpoint.event_id, 4) : 0;
    const auto time = static_cast<std::uint64_t>(checkpoint.updated_at_unix);
    return {mix64(mix64(source + offset) ^ event_id) + mix64(time ^ source),
            mix64(mix64(source ^ offset) + event_id) ^ mix64(time + source)};
}

}  // namespace

Digest StateView::digest(const Deadline& deadline) const {
    Digest digest;
    for (const SeriesView& view : series) {
        digest += scan_digest(view, deadline);
    }
    for (const reply::Checkpoint& checkpoint : checkpoints) {
        digest += digest_of(checkpoint);
    }
    return digest;
}

Engine::Engine(std::uint64_t hash_seed, EventSink& sink) : hash_seed_(hash_seed), sink_(sink) {}

const Series* Engine::find_series(std::string_view name) const noexcept {
    const auto found = series_.find(name);
    return found == series_.end() ? nullptr : found->second.get();
}

Series* Engine::find_mutable(std::string_view name) noexcept {
    const auto found = series_.find(name);
    return found == series_.end() ? nullptr : found->second.get();
}

Lsn Engine::wait_lsn(std::string_view series) const noexcept {
    const Series* const found = find_series(series);
    return found == nullptr ? catalog_lsn_ : found->last_lsn();
}

Outcome Engine::execute(const Request& request, std::int64_t now_ms) {
    return std::visit(
        [&](const auto& body) -> Outcome {
            using Body = std::decay_t<decltype(body)>;
            if constexpr (std::is_same_v<Body, Mutation>) {
                return execute_mutation(body, now_ms);
            } else if constexpr (std::is_invocable_v<Querier, const Body&>) {
                return Querier(*this)(body);
            } else {
                return {Reply(Error{ErrorCode::internal_error, "Not a question for the engine"}), 0};
            }
        },
        request);
}

Outcome Engine::execute_mutation(Mutation body, std::int64_t now_ms) {
    if (std::optional<Error> refused = std::visit(Checker(*this), body)) {
        return {Reply(std::move(*refused)), wait_lsn(series_of(body))};
    }
    resolve_day(body, now_ms);
    const Event event{last_lsn_ + 1, now_ms, body};
    sink_.accept(event);
    last_lsn_ = event.lsn;
    return {std::visit(Applier(*this, event), event.body), event.lsn};
}

void Engine::apply(const Event& event) {
    std::visit(Applier(*this, event), event.body);
    last_lsn_ = event.lsn;
}

std::uint64_t Engine::key_count() const noexcept {
    std::uint64_t keys = 0;
    for (const auto& entry : series_) {
        keys += entry.second->totals().keys;
    }
    return keys;
}

StateView Engine::view() const {
    StateView view{last_lsn_, {}, checkpoints()};
    view.series.reserve(series_.size());
    for (const auto& entry : series_) {
        view.series.push_back(entry.second->view());
    }
    std::ranges::sort(view.series, {}, &SeriesView::name);
    return view;
}

std::vector<reply::Checkpoint> Engine::checkpoints() const {
    std::vector<reply::Checkpoint> all;
    all.reserve(checkpoints_.size());
    for (const auto& entry : checkpoints_) {
        all.push_back(entry.second);
    }
    return all;
}

void Engine::restore_series(Series series) {
    std::string name = series.name();
    series_.insert_or_assign(std::move(name), std::make_unique<Series>(std::move(series)));
}

void Engine::restore_checkpoints(std::vector<reply::Checkpoint> checkpoints) {
    for (reply::Checkpoint& checkpoint : checkpoints) {
        std::string source = checkpoint.source;
        checkpoints_.insert_or_assign(std::move(source), std::move(checkpoint));
    }
}

}  // namespace karma
