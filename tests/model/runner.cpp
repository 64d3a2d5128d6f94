#include "tests/model/runner.h"

#include <algorithm>
#include <csignal>

#include <boost/json/serialize.hpp>

#include "tests/support/process.h"

namespace karma::test::model {

namespace {

// Stands before the name of a series, where the name of its latest snapshot belongs.
const std::string latest_of = "latest snapshot of ";

std::string line_of(std::string_view op, const json::object& fields = {}) {
    json::object request{{"v", 2}, {"op", op}};
    for (const auto& field : fields) request[field.key()] = field.value();
    return json::serialize(request);
}

std::string to_text(const Expected& expected) {
    std::string text;
    for (const Expected::Reply& reply : expected.allowed) {
        if (!text.empty()) text += "  or  ";
        text += reply.error_code.empty() ? json::serialize(reply.response) : reply.error_code;
        if (reply.idempotent) text += *reply.idempotent ? " (idempotent)" : " (not idempotent)";
    }
    return shortened(text);
}

std::optional<std::string> wrong_as(const Expected::Reply& expected, const json::value& reply) {
    if (auto wrong = difference(2, member(reply, "protocol_version"), "protocol_version")) return wrong;
    const bool success = expected.error_code.empty();
    if (auto wrong = difference(success, member(reply, "success"), "success")) return wrong;
    const json::value code = success ? json::value(nullptr) : json::value(expected.error_code);
    if (auto wrong = difference(code, member(reply, "error_code"), "error_code")) return wrong;
    if (!success) return difference(text_from(""), member(reply, "response"));
    const json::value* const idempotent = reply.as_object().if_contains("idempotent");
    if (expected.idempotent.has_value() != (idempotent != nullptr)) return "idempotent: there or not";
    if (idempotent != nullptr)
        if (auto wrong = difference(*expected.idempotent, *idempotent, "idempotent")) return wrong;
    return difference(expected.response, member(reply, "response"));
}

}  // namespace

std::optional<std::string> wrong_reply(const Expected& expected, const json::value& reply) {
    std::string all;
    for (const Expected::Reply& allowed : expected.allowed) {
        std::optional<std::string> wrong = wrong_as(allowed, reply);
        const bool is_of_this_kind = !wrong;
        if (!wrong && allowed.error_code.empty() && expected.check)
            wrong = expected.check(member(reply, "response"));
        if (!wrong) return std::nullopt;
        // What is wrong with a reply of a kind that is allowed tells more than that it is of no other kind.
        if (all.empty() || is_of_this_kind) all = *wrong;
    }
    return all;
}

Runner::Runner(const Profile& profile, std::mt19937_64 random)
    : profile_(profile), random_(random), generator_(random_, profile_.taste), model_(profile_.config) {
    profile_.packet = number_from_environment("KARMA_MODEL_PACKET", profile_.packet);
    daemon_ = std::make_unique<Daemon>(arguments_of(profile_, profile_.config));
    client_.emplace(daemon_->connect());
}

void Runner::differ(const std::string& what, const std::string& request, const std::string& got) const {
    std::string text = "profile " + profile_.name + ", request " + std::to_string(sent_) + ", life " +
                       std::to_string(lives_) + ", LSN " + std::to_string(model_.state().lsn) +
                       "\nwrong: " + what + "\nrequest: " + shortened(request, 4000) +
                       "\ngot: " + shortened(got, 3000) + "\nthe requests before, the last one at the end:\n";
    for (const std::string& line : last_) text += "  " + shortened(line, 500) + "\n";
    throw Difference(text);
}

void Runner::remember(const std::string& line) {
    constexpr std::size_t kept = 40;
    last_.push_back(line);
    if (last_.size() > kept) last_.pop_front();
}

void Runner::add(std::vector<Pending>& packet, std::string line) {
    Expected expected = model_.answer(line);
    packet.push_back({std::move(line), std::move(expected)});
}

std::vector<Runner::Pending> Runner::make_packet(std::size_t size, bool for_kill) {
    std::vector<Pending> packet;
    while (packet.size() < size) {
        std::string line = generator_.next(model_);
        const bool is_snapshot = line.find("snapshot.create") != std::string::npos;
        // Without a log they decide what is left.
        if (for_kill && !model_.config().has_log && line.find("\"snapshot.") != std::string::npos) continue;
        if (for_kill && line.size() > model_.config().max_request_bytes) continue;
        add(packet, std::move(line));
        if (packet.back().expected.closes) break;
        if (is_snapshot && !for_kill) add(packet, line_of("snapshot.info"));
    }
    return packet;
}

void Runner::receive(const Pending& pending) {
    std::string line;
    try {
        line = client_->receive_line();
    } catch (const std::exception& failure) {
        differ(std::string("no reply (") + failure.what() + "), expected " + to_text(pending.expected),
               pending.line, "nothing");
    }
    ++sent_;
    const json::value reply = parse_json(line);
    if (const auto wrong = wrong_reply(pending.expected, reply))
        differ(*wrong + "\nexpected: " + to_text(pending.expected), pending.line, line);
    remember(pending.line);
}

// In steps that are done again a snapshot is known by its series: its name has the time in it.
void Runner::note(Step::Kind kind, const std::vector<Pending>& packet, int signal) {
    Step step{kind, {}, signal};
    for (const Pending& pending : packet) {
        step.lines.push_back(pending.line);
        if (pending.line.find("\"file\":") == std::string::npos) continue;
        for (const std::shared_ptr<Snapshot>& snapshot : model_.snapshots()) {
            const std::string quoted = json::serialize(json::value(snapshot->file));
            const std::size_t at = pending.line.find(quoted);
            if (at == std::string::npos || snapshot->file.empty()) continue;
            step.lines.back().replace(at, quoted.size(),
                                      json::serialize(json::value(latest_of + snapshot->series)));
            break;
        }
    }
    steps_.push_back(std::move(step));
}

void Runner::play(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
        std::vector<std::string> lines = step.lines;
        for (std::string& line : lines)
            for (const std::shared_ptr<Snapshot>& snapshot : model_.loadable()) {
                const std::string name = json::serialize(json::value(latest_of + snapshot->series));
                const std::size_t at = line.find(name);
                if (at == std::string::npos) continue;
                line.replace(at, name.size(), json::serialize(json::value(snapshot->file)));
                break;
            }
        if (!lines.empty()) send(lines);
        if (step.kind == Step::Kind::restart) restart(step.signal);
        if (step.kind == Step::Kind::move) move();
        if (step.kind != Step::Kind::kill) continue;
        daemon_->kill_hard();
        start(model_.config());
        if (const auto wrong = model_.killed(model_.config(), current_lsn())) differ(*wrong, "", "");
        learn_snapshots();
    }
}

void Runner::exchange(const std::vector<Pending>& packet) {
    note(Step::Kind::requests, packet);
    std::string bytes;
    for (const Pending& pending : packet) bytes += pending.line + "\n";
    if (packet.size() > 1) remember("--- a packet of " + std::to_string(packet.size()));
    if (profile_.packet > 1) client_->send(bytes);
    for (const Pending& pending : packet) {
        if (profile_.packet == 1) client_->send(pending.line + "\n");
        receive(pending);
    }
    if (packet.empty() || !packet.back().expected.closes) return;
    if (!client_->closed_by_server()) differ("the connection is not closed", packet.back().line, "");
    client_.emplace(daemon_->connect());
}

void Runner::send(const std::vector<std::string>& lines) {
    std::vector<Pending> packet;
    for (const std::string& line : lines) add(packet, line);
    exchange(packet);
}

void Runner::compare_all() {
    send({line_of("tree.list"), line_of("recovery.status"), line_of("system.health"),
          line_of("replication.status")});
    const json::object whole{{"from", 10101}, {"to", 99991231}};
    std::vector<std::string> names;
    for (const auto& entry : model_.state().series) names.push_back(entry.first);
    for (const std::string& name : names) {
        send({line_of("tree.info", {{"series", name}}), line_of("tree.summary", {{"series", name}}),
              line_of("tree.summary", {{"series", name}, {"range", whole}})});
        send({line_of("tree.series", {{"series", name}, {"range", whole}})});
        send({line_of("tree.top", {{"series", name}, {"limit", 1000}})});
        json::value cursor(nullptr);
        const std::uint64_t limit = random_between(random_, 3, 4000);
        const Series& series = **model_.state().find(name);
        for (auto at = series.begin();;) {
            send({line_of("tree.keys", {{"series", name}, {"cursor", cursor}, {"limit", limit}})});
            for (std::uint64_t i = 0; i < limit && at != series.end(); ++i) cursor = (at++)->first;
            if (at == series.end()) break;
        }
    }
    std::vector<std::string> repeats;
    for (const auto& [id, stream] : *model_.state().streams) repeats.push_back(json::serialize(stream.begin));
    constexpr std::ptrdiff_t records_repeated = 30;
    const auto& records = *model_.state().records;
    for (auto record = records.rbegin();
         record != records.rend() && record - records.rbegin() < records_repeated; ++record)
        repeats.push_back(json::serialize(record->request));
    for (const std::string& line : repeats) send({line});
    const std::uint64_t lsn = model_.state().lsn;
    for (std::uint64_t after = lsn > 500 ? lsn - 500 : 0; after < lsn; after += 100)
        send({line_of("event.list", {{"after_lsn", after}, {"limit", 100}}),
              line_of("replication.entries", {{"after_lsn", after}, {"limit", 100}})});
    send({line_of("snapshot.list"), line_of("snapshot.verify")});
}

void Runner::start(const Config& config) {
    client_.reset();
    daemon_->set_arguments(arguments_of(profile_, config));
    daemon_->start();
    client_.emplace(daemon_->connect());
    ++lives_;
}

std::uint64_t Runner::current_lsn() {
    const json::value reply = client_->ask_line(line_of("snapshot.info"));
    const json::value& response = member(reply, "response");
    if (!member(reply, "success").as_bool()) {
        if (member(reply, "error_code") == "response_too_large")
            return as_number(
                member(member(client_->ask_line(line_of("replication.position")), "response"), "lsn"));
        differ("snapshot.info fails", line_of("snapshot.info"), json::serialize(reply));
    }
    return as_number(member(response, "wal_current_lsn"));
}

void Runner::learn_snapshots() {
    const json::value info = client_->ask_line(line_of("snapshot.info"));
    if (!member(info, "success").as_bool()) return;  // too large
    if (const auto wrong = model_.learn(member(member(info, "response"), "latest_by_tree").as_array()))
        differ(*wrong, line_of("snapshot.info"), json::serialize(info));
}

Config Runner::next_config() {
    Config config = model_.config();
    if (!profile_.changes_options) return config;
    if (one_in(random_, 3)) config.has_log = !config.has_log;
    std::erase_if(profile_.arguments, [](const std::string& a) { return a.starts_with("--wal-fsync"); });
    if (!one_in(random_, 5)) profile_.arguments.emplace_back("--wal-fsync=false");
    return config;
}

void Runner::restart(int signal) {
    note(Step::Kind::restart, {}, signal);
    const ExitStatus status = daemon_->stop(signal);
    remember("--- restart by signal " + std::to_string(signal));
    if (status.code != 0) differ("the daemon ends with " + to_string(status), "", "");
    if (model_.config().is_stored) verify_directory();
    const Config config = next_config();
    start(config);
    model_.restarted(config, signal == SIGINT);
    const std::uint64_t lsn = current_lsn();
    if (lsn != model_.state().lsn)
        differ("after a restart: expected LSN " + std::to_string(model_.state().lsn), "",
               std::to_string(lsn));
    learn_snapshots();
}

void Runner::kill() {
    std::vector<Model::Mark> marks{model_.mark()};
    std::vector<Pending> packet;
    for (std::uint64_t size = random_between(random_, 1, profile_.packet == 1 ? 1 : 2 * profile_.packet);
         packet.size() < size;) {
        std::vector<Pending> one = make_packet(1, true);
        packet.push_back(std::move(one.front()));
        marks.push_back(model_.mark());
    }
    note(Step::Kind::kill, packet);
    remember("--- kill -9 during a packet of " + std::to_string(packet.size()));
    std::string bytes;
    for (const Pending& pending : packet) bytes += pending.line + "\n";
    std::size_t answered = 0;
    client_->send(bytes);
    for (std::uint64_t wait = random_between(random_, 0, packet.size()); answered < wait; ++answered)
        receive(packet[answered]);
    daemon_->kill_hard();
    try {
        for (; answered < packet.size(); ++answered) {
            const json::value reply = client_->receive();
            if (const auto wrong = wrong_reply(packet[answered].expected, reply))
                differ(*wrong + "\nexpected: " + to_text(packet[answered].expected), packet[answered].line,
                       json::serialize(reply));
            remember(packet[answered].line);
        }
    } catch (const ConnectionClosed&) {
        remember("--- not answered: " + std::to_string(packet.size() - answered));
        for (std::size_t i = answered; i < packet.size(); ++i) remember(packet[i].line);
    }
    const bool had_log = model_.config().has_log;
    const Config config = next_config();
    start(config);
    const std::uint64_t lsn = current_lsn();
    if (had_log && model_.config().is_stored) settle(marks, packet, answered, lsn);
    if (const auto wrong = model_.killed(config, lsn)) differ(*wrong, "", "");
    learn_snapshots();
}

void Runner::settle(const std::vector<Model::Mark>& marks, const std::vector<Pending>& packet,
                    std::size_t answered, std::uint64_t lsn) {
    std::size_t done = answered;
    while (done < packet.size() && marks[done].state.lsn < lsn) ++done;
    // A snapshot.load is several events, and the start ends one that was cut short by one more.
    if (done > answered && packet[done - 1].line.find("snapshot.load") != std::string::npos) {
        const json::value reply =
            client_->ask_line(line_of("event.list", {{"after_lsn", lsn - 1}, {"limit", 1}}));
        const json::array& events = member(member(reply, "response"), "events").as_array();
        if (!events.empty() && member(member(events[0], "entry"), "op") == "ingest.abort") {
            model_.go_back(marks[done - 1]);
            model_.add_foreign_events(lsn);
            return;
        }
    }
    model_.go_back(marks[done]);
}

void Runner::burst() {
    constexpr std::size_t connections = 3;
    const Model::Mark before = model_.mark();
    std::vector<std::vector<Pending>> packets(connections);
    std::vector<std::deque<std::string>> writes(connections);
    std::vector<Client> clients;
    for (std::size_t i = 0; i < connections; ++i) {
        Generator generator(random_, profile_.taste, "c" + std::to_string(i) + " ");
        clients.push_back(daemon_->connect());
        for (std::uint64_t count = random_between(random_, 1, 2 * profile_.packet); count > 0; --count) {
            const std::uint64_t lsn = model_.state().lsn;
            add(packets[i], generator.next_local(model_));
            if (model_.state().lsn > lsn) writes[i].push_back(packets[i].back().line);
        }
    }
    for (const std::vector<Pending>& packet : packets) note(Step::Kind::requests, packet);
    remember("--- " + std::to_string(connections) + " connections at once");
    for (std::size_t i = 0; i < connections; ++i) {
        std::string bytes;
        for (const Pending& pending : packets[i]) bytes += pending.line + "\n";
        clients[i].send(bytes);
    }
    for (std::size_t i = 0; i < connections; ++i) {
        std::swap(*client_, clients[i]);
        for (const Pending& pending : packets[i]) receive(pending);
        std::swap(*client_, clients[i]);
    }
    merge(before, std::move(writes));
}

void Runner::merge(const Model::Mark& before, std::vector<std::deque<std::string>> writes) {
    const std::uint64_t last = model_.state().lsn;
    model_.go_back(before);
    while (model_.state().lsn < last) {
        const std::string request =
            line_of("event.list", {{"after_lsn", model_.state().lsn}, {"limit", 10'000}});
        const json::value reply = client_->ask_line(request);
        const json::array& events = member(member(reply, "response"), "events").as_array();
        if (events.empty()) differ("events of a burst are missing", request, json::serialize(reply));
        for (const json::value& event : events) {
            const json::object& entry = member(event, "entry").as_object();
            const json::value* name = entry.if_contains("series");
            if (name == nullptr) name = entry.if_contains("stream_id");
            if (member(event, "entry").at("op") == "counter.multi_add")
                name = &entry.at("items").at(0).at("series");
            const std::size_t of = name == nullptr || name->as_string().size() < 2
                                       ? writes.size()
                                       : static_cast<std::size_t>(name->as_string()[1] - '0');
            if (of >= writes.size() || writes[of].empty())
                differ("an event that no request of the burst made", request, json::serialize(event));
            model_.answer(writes[of].front());
            writes[of].pop_front();
        }
    }
    const std::uint64_t lsn = before.state.lsn;
    if (last > lsn)
        send(
            {line_of("event.list", {{"after_lsn", lsn}, {"limit", std::max<std::uint64_t>(1, last - lsn)}})});
}

void Runner::verify_directory() {
    const ProgramResult result = run_program(karma_binary(), {"verify", daemon_->directory().string()});
    if (result.status.code != 0)
        differ("karma verify does not call the directory sound", "karma verify",
               result.standard_output + result.standard_error);
}

void Runner::move() {
    const std::filesystem::path out = scratch_ / ("out" + std::to_string(++moves_));
    const std::filesystem::path into = scratch_ / ("data" + std::to_string(moves_));
    note(Step::Kind::move, {});
    remember("--- export and import");
    const auto run = [&](std::vector<std::string> arguments) {
        const ProgramResult result = run_program(karma_binary(), arguments);
        if (result.status.code != 0)
            differ("karma " + arguments[0] + " ends with " + to_string(result.status), "",
                   result.standard_output + result.standard_error);
    };
    run({"export", out.string(), "--port=" + std::to_string(daemon_->port())});
    client_.reset();
    daemon_->stop(SIGTERM);
    run({"import", out.string(), "--directory=" + into.string()});
    run({"verify", into.string()});
    DaemonOptions options;
    options.arguments = arguments_of(profile_, model_.config());
    options.directory = into;
    const std::filesystem::path old = daemon_->directory();
    daemon_ = std::make_unique<Daemon>(options);
    client_.emplace(daemon_->connect());
    std::filesystem::remove_all(old);
    ++lives_;
    model_.imported();
    learn_snapshots();
}

void Runner::event() {
    switch (random_between(random_, 0, 9)) {
        case 0:
        case 1: restart(SIGTERM); break;
        case 2: restart(SIGINT); break;
        case 3:
            if (profile_.moves) {
                compare_all();
                move();
                break;
            }
            [[fallthrough]];
        case 4:
        case 5:
        case 6: kill(); break;
        default: break;
    }
    compare_all();
}

void Runner::fill_large_series() {
    for (const std::string name : {"links", "a"})
        for (const std::string& line : generator_.large_series(name, 30'000)) send({line});
}

void Runner::run(std::size_t requests) {
    if (profile_.taste.has_large_series) fill_large_series();
    const std::size_t end = sent_ + requests;
    std::size_t next_event = sent_ + profile_.between_events;
    while (sent_ < end) {
        const std::size_t size = one_in(random_, 2) ? 1 : random_between(random_, 1, profile_.packet);
        exchange(make_packet(size, false));
        if (profile_.has_bursts && model_.config().has_log && one_in(random_, 100)) burst();
        if (sent_ < next_event) continue;
        event();
        next_event = sent_ + random_between(random_, 1, 2 * profile_.between_events);
    }
    compare_all();
}

}  // namespace karma::test::model
