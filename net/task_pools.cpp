#include "net/task_pools.h"

#include <algorithm>
#include <thread>

namespace karma::net {
namespace {

unsigned query_threads() { return std::max(1U, std::thread::hardware_concurrency() / 2); }
/// They take long and mostly wait for the disk; more at once would only take it from the log.
constexpr unsigned administration_threads = 2;
/// One may wait for another node.
constexpr unsigned control_threads = 2;

}  // namespace

TaskPools::TaskPools()
    : queries_(query_threads()), administration_(administration_threads), control_(control_threads) {}

boost::asio::thread_pool& TaskPools::pool(TaskKind kind) noexcept {
    switch (kind) {
        case TaskKind::administration: return administration_;
        case TaskKind::control: return control_;
        case TaskKind::query: break;
    }
    return queries_;
}

void TaskPools::join() {
    queries_.join();
    administration_.join();
    control_.join();
}

}  // namespace karma::net
