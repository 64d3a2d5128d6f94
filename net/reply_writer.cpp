#include "net/reply_writer.h"

#include <charconv>
#include <string_view>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

#include "engine/hash.h"
#include "net/prometheus.h"

namespace karma::net {
namespace {

constexpr std::string_view success_begin = R"({"protocol_version":2,"success":true,"response":)";
constexpr std::string_view success_end = ",\"error_code\":null}\r\n";

/// Thrown when a reply has grown past its limit, so that no more of it is made.
struct TooLarge {};

/// Appends JSON to a string.
class Json {
public:
    explicit Json(std::string& out) : out_(out) {}

    Json& raw(std::string_view text) {
        out_.append(text);
        return *this;
    }

    Json& number(std::uint64_t number) {
        char digits[20];
        const auto written = std::to_chars(digits, digits + sizeof digits, number);
        out_.append(digits, static_cast<std::size_t>(written.ptr - digits));
        return *this;
    }

    Json& number(Uint128 number) {
        return number >> 64U == 0 ? this->number(static_cast<std::uint64_t>(number))
                                  : raw(to_decimal(number));
    }

    Json& number(std::int64_t number) { return raw(std::to_string(number)); }

    Json& day(Day day) { return number(std::uint64_t{day_to_yyyymmdd(day)}); }

    Json& text(std::string_view text) { return raw(boost::json::serialize(boost::json::string_view(text))); }

    template <typename Text>
    Json& text_or_null(const std::optional<Text>& value) {
        return value ? text(*value) : raw("null");
    }

    /// `[{"key":1,"<name>":2}, ...]`
    Json& key_values(const std::vector<KeyValue>& items, std::string_view name) {
        raw("[");
        std::string_view separator = "{\"key\":";
        for (const KeyValue& item : items) {
            raw(separator).number(item.key).raw(",\"").raw(name).raw("\":").number(item.value).raw("}");
            separator = ",{\"key\":";
        }
        return raw("]");
    }

    std::size_t size() const noexcept { return out_.size(); }

private:
    std::string& out_;
};

/// Writes the value of `response`.
class ResponseWriter {
public:
    ResponseWriter(std::string& out, std::size_t size_max, const Deadline& deadline)
        : json_(out), size_max_(size_max), deadline_(deadline) {}

    void operator()(const Error&) {}  // written as a whole elsewhere
    void operator()(const reply::Ok&) { json_.raw("\"OK\""); }
    void operator()(const reply::Pong&) { json_.raw("\"pong\""); }
    void operator()(const reply::Deleted&) { json_.raw("true"); }
    void operator()(const reply::Number& r) { json_.number(r.value); }
    void operator()(const reply::Added& r) {
        json_.raw("{\"applied\":").number(r.applied).raw(",\"total\":").number(r.total).raw("}");
    }
    void operator()(const reply::WasSet& r) { json_.raw("{\"applied\":").number(r.applied).raw("}"); }
    void operator()(const reply::BatchResetDone& r) {
        json_.raw("{\"reset\":").number(r.reset).raw(",\"missing\":").number(r.missing).raw("}");
    }
    void operator()(const reply::BatchDeleted& r) {
        json_.raw("{\"deleted\":").number(r.deleted).raw(",\"missing\":").number(r.missing).raw("}");
    }
    void operator()(const reply::SeriesNames& r) {
        json_.raw("[");
        std::string_view separator;
        for (const std::string& name : r.names) {
            json_.raw(separator).text(name);
            separator = ",";
            check_size();
        }
        json_.raw("]");
    }
    void operator()(const reply::Info& r) {
        json_.raw("{\"tree\":").text(r.series).raw(",\"key_count\":").number(r.totals.keys);
        json_.raw(",\"bucket_count\":").number(r.totals.buckets).raw(",\"total\":").number(r.totals.total);
        json_.raw(",\"branches\":").number(r.pages).raw("}");
    }
    void operator()(const reply::Keys& r) {
        json_.raw("{\"tree\":").text(r.series).raw(",\"limit\":").number(std::uint64_t{r.limit});
        json_.raw(",\"cursor\":");
        number_or_null(r.cursor);
        json_.raw(",\"next_cursor\":");
        number_or_null(r.page.next_cursor);
        json_.raw(",\"keys\":").key_values(r.page.keys, "total").raw("}");
    }
    void operator()(const reply::Top& r) {
        json_.raw("{\"tree\":").text(r.series).raw(",\"limit\":").number(std::uint64_t{r.limit});
        json_.raw(",\"items\":").key_values(r.items, "value").raw("}");
    }
    void operator()(const reply::SummaryOf& r) {
        json_.raw("{\"tree\":").text(r.series);
        if (r.range) {
            json_.raw(",\"range_from\":").day(r.range->from).raw(",\"range_to\":").day(r.range->to);
        }
        json_.raw(",\"total\":")
            .number(r.summary.total)
            .raw(",\"active_keys\":")
            .number(r.summary.active_keys);
        json_.raw(",\"bucket_count\":").number(r.summary.buckets).raw("}");
    }
    void operator()(const reply::AllPoints& r) {
        json_.raw("{");
        std::string_view separator = "\"";
        for (const std::uint64_t key : r.keys) {
            json_.raw(separator).number(key).raw("\":");
            points([&](auto&& visit) { Counter(r.view.find(key)).for_each(r.range, visit); });
            separator = ",\"";
            check_size();
            if ((++written_ & 0xFFU) == 0) {
                deadline_.check();
            }
        }
        json_.raw("}");
    }
    void operator()(const reply::PointList& r) {
        points([&](auto&& visit) {
            for (const Point& point : r.points) {
                visit(point);
            }
        });
    }
    void operator()(const reply::Sums& r) { json_.key_values(r.items, "value"); }
    void operator()(const reply::NamedSums& r) {
        json_.raw("[");
        std::string_view separator = "{\"series\":";
        for (const reply::NamedSum& item : r.items) {
            json_.raw(separator).text(item.series).raw(",\"key\":").number(item.key);
            json_.raw(",\"value\":").number(item.value).raw("}");
            separator = ",{\"series\":";
            check_size();
        }
        json_.raw("]");
    }
    void operator()(const reply::Checkpoint& r) {
        json_.raw("{\"source\":").text(r.source).raw(",\"offset\":").text_or_null(r.offset);
        json_.raw(",\"event_id\":").text_or_null(r.event_id);
        json_.raw(",\"updated_at_unix\":").number(r.updated_at_unix).raw("}");
    }
    void operator()(const reply::Checkpoints& r) {
        json_.raw("{\"checkpoint_count\":")
            .number(std::uint64_t{r.checkpoints.size()})
            .raw(",\"checkpoints\":[");
        std::string_view separator;
        for (const reply::Checkpoint& checkpoint : r.checkpoints) {
            json_.raw(separator);
            (*this)(checkpoint);
            separator = ",";
        }
        json_.raw("]}");
    }
    void operator()(const reply::Health& r) {
        json_.raw("{\"status\":").text(r.status).raw(",\"uptime_seconds\":");
        json_.raw(std::to_string(r.uptime_seconds)).raw(",\"role\":").text(r.role);
        json_.raw(",\"wal_enabled\":").raw(r.wal_enabled ? "true}" : "false}");
    }
    void operator()(const reply::ReplicationStatus& r) {
        json_.raw("{\"role\":").text(r.role).raw(",\"wal_enabled\":").raw(r.wal_enabled ? "true" : "false");
        json_.raw(",\"wal_current_lsn\":").number(r.wal_current_lsn);
        json_.raw(",\"wal_bytes\":").number(r.wal_bytes);
        json_.raw(",\"last_snapshot_lsn\":").number(r.last_snapshot_lsn).raw(",\"recovery\":");
        (*this)(r.recovery);
        json_.raw(",\"recovery_checkpoint_count\":")
            .number(std::uint64_t{r.recovery.checkpoints.size()})
            .raw("}");
    }
    void operator()(const reply::StatsList& r) {
        json_.raw("{");
        std::string_view separator;
        for (const Metric& metric : r.metrics) {
            if (metric.stat != nullptr) {
                json_.raw(separator).text(metric.stat).raw(":");
                std::visit([this](const auto& value) { stat(value); }, metric.value);
                separator = ",";
            }
        }
        json_.raw("}");
    }
    void operator()(const reply::MetricsText& r) { json_.text(prometheus_text(r.metrics)); }
    void operator()(const reply::SnapshotSaved& r) { json_.text("Tree \"" + r.series + "\" saved"); }

private:
    void stat(std::nullptr_t) { json_.raw("null"); }
    void stat(bool value) { json_.raw(value ? "true" : "false"); }
    void stat(std::uint64_t value) { json_.number(value); }
    void stat(double value) { json_.raw(std::to_string(value)); }
    void stat(const std::string& value) { json_.text(value); }

    void number_or_null(const std::optional<std::uint64_t>& number) {
        if (number) {
            json_.number(*number);
        } else {
            json_.raw("null");
        }
    }

    template <typename ForEach>
    void points(ForEach&& for_each) {
        json_.raw("{");
        std::string_view separator = "\"";
        for_each([&](const Point& point) {
            json_.raw(separator).day(point.day).raw("\":").number(point.value);
            separator = ",\"";
        });
        json_.raw("}");
    }

    void check_size() const {
        if (json_.size() > size_max_) {
            throw TooLarge{};
        }
    }

    Json json_;
    std::size_t size_max_;
    const Deadline& deadline_;
    unsigned written_ = 0;
};

}  // namespace

void ReplyWriter::write_error(const Error& error, std::string& out) {
    Json(out)
        .raw(R"({"protocol_version":2,"success":false,"response":)")
        .text(error.message)
        .raw(",\"error_code\":\"")
        .raw(error_code_name(error.code))
        .raw("\"}\r\n");
}

std::optional<ErrorCode> ReplyWriter::write(const Reply& reply, const Deadline& deadline,
                                            std::string& out) const {
    if (const auto* const error = std::get_if<Error>(&reply)) {
        write_error(*error, out);
        return error->code;
    }
    const std::size_t begin = out.size();
    const std::size_t line_max = response_bytes_max_ == 0 ? out.max_size() - begin : response_bytes_max_ + 2;
    bool fits = true;
    try {
        out.append(success_begin);
        std::visit(ResponseWriter(out, begin + line_max, deadline), reply);
        out.append(success_end);
        fits = out.size() - begin <= line_max;
    } catch (const TooLarge&) {
        fits = false;
    } catch (const RequestError& refused) {
        out.resize(begin);
        write_error({refused.code(), refused.what()}, out);
        return refused.code();
    }
    if (fits) {
        return std::nullopt;
    }
    out.resize(begin);
    write_error(
        {ErrorCode::response_too_large, "Response exceeds " + std::to_string(response_bytes_max_) + " bytes"},
        out);
    return ErrorCode::response_too_large;
}

}  // namespace karma::net
