#include "perf/load/request_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

#include "perf/load/send_buffer.h"

namespace karma::perf {

namespace {

constexpr std::size_t max_digits = 20;  // of 64 bits

char* put_number(char* at, std::uint64_t number) { return std::to_chars(at, at + max_digits, number).ptr; }

std::size_t longest(const std::vector<std::string>& texts) {
    std::size_t most = 0;
    for (const std::string& text : texts) most = std::max(most, text.size());
    return most;
}

std::string quoted(const std::string& text) { return boost::json::serialize(boost::json::string(text)); }

// {"v":2,"op":"counter.increment","series":"links","key":42,"bucket":20260505,"value":1,"idempotency_key":"…"}
// head ------------------------------------------------ -- tail of a day --------------- before the end
// -------
class KarmaFormat : public RequestFormat {
public:
    KarmaFormat(const Operation& operation, const LoadOptions& options, const Days& days,
                const std::string& unique)
        : shape_(operation.shape) {
        make_heads(operation, options);
        make_tails(operation, options, days);
        if (operation.writes && options.idempotency) {
            idempotency_ = ",\"idempotency_key\":" + quoted(unique + "-");
            idempotency_.pop_back();  // the number comes before the quote
        }
    }

    std::size_t max_size(std::size_t items) const override {
        const std::size_t end = idempotency_.size() + max_digits + close_.size() + range_.size() + 8;
        return longest(heads_) + items * (longest(tails_) + max_digits + 2) + end;
    }

    char* write(char* at, std::uint32_t series, std::span<const Item> items) override {
        at = put(at, heads_[series]);
        switch (shape_) {
            case Shape::nothing: break;
            case Shape::key: at = put_number(at, items.front().key); break;
            case Shape::key_and_value:
                at = put_number(at, items.front().key);
                at = put(at, tails_[items.front().day]);
                break;
            case Shape::keys: at = write_keys(at, items); break;
            case Shape::items: at = write_items(at, items); break;
        }
        at = put(at, range_);
        if (!idempotency_.empty()) {
            at = put(at, idempotency_);
            at = put_number(at, next_unique_++);
            *at++ = '"';
        }
        return put(at, close_);
    }

private:
    void make_heads(const Operation& operation, const LoadOptions& options) {
        std::string begin = "{\"v\":2,\"op\":" + quoted(std::string(operation.name));
        if (!options.token.empty()) begin += ",\"token\":" + quoted(options.token);
        for (std::uint32_t series = 0; series < options.series_count; ++series) {
            std::string head = begin;
            if (shape_ != Shape::nothing) head += ",\"series\":" + quoted(series_name(options, series));
            if (shape_ == Shape::key || shape_ == Shape::key_and_value) head += ",\"key\":";
            if (shape_ == Shape::keys) head += ",\"keys\":[";
            if (shape_ == Shape::items) head += ",\"items\":[";
            heads_.push_back(std::move(head));
        }
    }

    void make_tails(const Operation& operation, const LoadOptions& options, const Days& days) {
        for (std::uint32_t day = 0; day < days.count(); ++day) {
            const std::string& text = days.text(day);
            if (shape_ == Shape::items) {
                tails_.push_back("," + text + ",1]");
            } else {
                tails_.push_back((options.days == 0 ? "" : ",\"bucket\":" + text) + ",\"value\":1");
            }
        }
        if (!operation.writes && shape_ != Shape::nothing && options.range_days != 0) {
            const Days range(options.range_days);
            range_ =
                ",\"range\":{\"from\":" + range.text(0) + ",\"to\":" + range.text(range.count() - 1) + "}";
        }
    }

    static char* write_keys(char* at, std::span<const Item> items) {
        for (const Item& item : items) {
            at = put_number(at, item.key);
            *at++ = ',';
        }
        at[-1] = ']';
        return at;
    }

    char* write_items(char* at, std::span<const Item> items) const {
        for (const Item& item : items) {
            *at++ = '[';
            at = put_number(at, item.key);
            at = put(at, tails_[item.day]);
            *at++ = ',';
        }
        at[-1] = ']';
        return at;
    }

    Shape shape_;
    std::vector<std::string> heads_;  // by series
    std::vector<std::string> tails_;  // by day
    std::string range_;
    std::string idempotency_;
    std::uint64_t next_unique_ = 0;
    const std::string close_ = "}\n";
};

// Arrays of bulk strings, as clients send them:
//   INCRBY    *3 $6 INCRBY $7 links:42 $1 1
//   HINCRBY   *4 $7 HINCRBY $5 links $2 42 $1 1
class RedisFormat : public RequestFormat {
public:
    RedisFormat(const Operation& operation, const LoadOptions& options) : shape_(operation.shape) {
        const bool has_value = shape_ == Shape::key_and_value;
        const std::size_t words =
            shape_ == Shape::nothing ? 1 : 2U + (operation.hash ? 1 : 0) + (has_value ? 1 : 0);
        for (std::uint32_t series = 0; series < options.series_count; ++series) {
            const std::string name = series_name(options, series);
            std::string head = "*" + std::to_string(words) + "\r\n" + bulk(std::string(operation.name));
            if (operation.hash) head += bulk(name);
            heads_.push_back(std::move(head));
            prefixes_.push_back(operation.hash ? "" : name + ":");
        }
        tail_ = has_value ? "\r\n" + bulk("1") : "\r\n";
    }

    std::size_t max_size(std::size_t /*items*/) const override {
        return longest(heads_) + longest(prefixes_) + tail_.size() + 2 * max_digits + 3;
    }

    char* write(char* at, std::uint32_t series, std::span<const Item> items) override {
        at = put(at, heads_[series]);
        if (shape_ == Shape::nothing) return at;
        std::array<char, max_digits> key{};
        const auto key_size =
            static_cast<std::size_t>(put_number(key.data(), items.front().key) - key.data());
        const std::string& prefix = prefixes_[series];
        *at++ = '$';
        at = put_number(at, prefix.size() + key_size);
        at = put(at, "\r\n");
        at = put(at, prefix);
        at = put(at, {key.data(), key_size});
        return put(at, tail_);
    }

private:
    static std::string bulk(const std::string& text) {
        return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
    }

    Shape shape_;
    std::vector<std::string> heads_;     // by series
    std::vector<std::string> prefixes_;  // by series
    std::string tail_;
};

}  // namespace

Days::Days(std::uint32_t count) {
    using std::chrono::days;
    const auto today = std::chrono::floor<days>(std::chrono::system_clock::now());
    for (std::uint32_t back = count; back-- > 0;) {
        const std::chrono::year_month_day date(today - days(back));
        std::array<char, 48> text{};
        const int size =
            std::snprintf(text.data(), text.size(), "%04d%02u%02u", static_cast<int>(date.year()),
                          static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
        texts_.emplace_back(text.data(), static_cast<std::size_t>(size));
    }
}

std::unique_ptr<RequestFormat> make_request_format(const Operation& operation, const LoadOptions& options,
                                                   const Days& days, const std::string& unique) {
    if (options.protocol == Protocol::redis) return std::make_unique<RedisFormat>(operation, options);
    return std::make_unique<KarmaFormat>(operation, options, days, unique);
}

std::string series_name(const LoadOptions& options, std::uint32_t number) {
    return options.series_count == 1 ? options.series : options.series + std::to_string(number);
}

}  // namespace karma::perf
