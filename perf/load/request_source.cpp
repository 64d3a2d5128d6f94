#include "perf/load/request_source.h"

#include <algorithm>

namespace karma::perf {

namespace {

// Redis has no days: one increment for each key is all.
std::uint32_t preload_days(const LoadOptions& options) {
    return options.protocol == Protocol::redis ? 1 : std::max(options.days, 1U);
}

}  // namespace

MixSource::MixSource(const LoadOptions& options, const KeyDistribution& keys, std::uint64_t seed,
                     const std::string& unique)
    : keys_(keys),
      random_(seed),
      days_(std::max(options.days, 1U)),
      series_count_(options.series_count),
      repeat_percent_(options.repeat_percent) {
    std::uint32_t weights = 0;
    std::uint32_t most_items = 1;
    for (const MixPart& part : options.mix) {
        const std::uint32_t items = part.operation->batch() ? options.items : 1;
        const std::string own = unique + "-" + std::to_string(parts_.size());
        auto format = make_request_format(*part.operation, options, days_, own);
        const std::size_t max_size = format->max_size(items);
        weights += part.weight;
        const bool repeatable = repeat_percent_ != 0 && part.operation->writes;
        parts_.push_back({std::move(format), max_size, items, weights, repeatable});
        most_items = std::max(most_items, items);
    }
    items_.resize(most_items);
}

MixSource::Part& MixSource::pick_part(std::uint32_t& place) {
    place = 0;
    if (parts_.size() > 1) {
        const std::uint32_t weight = random_.below(parts_.back().up_to);
        while (parts_[place].up_to <= weight) ++place;
    }
    return parts_[place];
}

bool MixSource::picks_repeat(const Part& part) {
    return part.repeatable && !part.recent.empty() && random_.below(100) < repeat_percent_;
}

void MixSource::remember(Part& part, std::string_view request) {
    if (part.recent.size() < recent_max) {
        part.recent.emplace_back(request);
        return;
    }
    part.recent[part.oldest] = request;
    part.oldest = (part.oldest + 1) % recent_max;
}

bool MixSource::next(SendBuffer& buffer, Request& request) {
    std::uint32_t place = 0;
    Part& part = pick_part(place);
    if (picks_repeat(part)) {
        const std::string& line = part.recent[random_.below(static_cast<std::uint32_t>(part.recent.size()))];
        buffer.finish(put(buffer.prepare(line.size()), line));
        request = {place, part.items, true};
        return true;
    }
    const std::uint32_t series = series_count_ == 1 ? 0 : random_.below(series_count_);
    for (std::uint32_t i = 0; i < part.items; ++i) {
        items_[i] = {keys_.draw(random_), days_.count() == 1 ? 0 : random_.below(days_.count())};
    }
    char* const begin = buffer.prepare(part.max_size);
    char* const end = part.format->write(begin, series, {items_.data(), part.items});
    buffer.finish(end);
    if (part.repeatable) remember(part, {begin, static_cast<std::size_t>(end - begin)});
    request = {place, part.items, false};
    return true;
}

PreloadSource::PreloadSource(const LoadOptions& options)
    : keys_(options.keys),
      series_count_(options.series_count),
      batch_(operation(options).batch() ? options.preload_items : 1),
      days_(preload_days(options)),
      format_(make_request_format(operation(options), options, days_, "")) {}

const Operation& PreloadSource::operation(const LoadOptions& options) {
    if (options.protocol != Protocol::redis) return *find_operation(options.protocol, "series.batch_add");
    const auto in_hash = [](const MixPart& part) { return part.operation->hash; };
    const bool hash = std::any_of(options.mix.begin(), options.mix.end(), in_hash);
    return *find_operation(Protocol::redis, hash ? "HINCRBY" : "INCRBY");
}

bool PreloadSource::next(SendBuffer& buffer, Request& request) {
    if (series_ == series_count_) return false;
    const std::uint32_t series = series_;
    pick_items();
    buffer.finish(format_->write(buffer.prepare(format_->max_size(items_.size())), series, items_));
    request = {0, static_cast<std::uint32_t>(items_.size()), false};
    return true;
}

void PreloadSource::pick_items() {
    items_.clear();
    while (items_.size() < batch_ && key_ < keys_) {
        items_.push_back({key_, day_});
        if (++day_ == days_.count()) {
            day_ = 0;
            ++key_;
        }
    }
    if (key_ == keys_) {
        key_ = 0;
        ++series_;
    }
}

}  // namespace karma::perf
