#include "tests/program/karma1_directory.h"

namespace karma::test {

std::string tree_of_18(char value) {
    std::string tree =
        "\x82\xA8"
        "branches\x99\x81\x12\x82\xA5"
        "table\x81\xCE\x01\x35\x26\x99";
    tree += value;
    tree +=
        "\xA5"
        "total";
    tree += value;
    for (int branch = 1; branch < 9; ++branch) {
        tree += '\x80';
    }
    return tree +
           "\xAC"
           "branches_num\x09";
}

std::string increment(std::uint64_t lsn, const std::string& series, std::uint64_t value,
                      const std::string& more) {
    return R"({"v":2,"lsn":)" + std::to_string(lsn) +
           R"(,"entry":{"v":2,"op":"counter.increment","series":")" + series +
           R"(","key":18,"bucket":20260505,"value":)" + std::to_string(value) + more + "}}\n";
}

std::string entry(std::uint64_t lsn, const std::string& fields) {
    return R"({"v":2,"lsn":)" + std::to_string(lsn) + R"(,"entry":{"v":2,)" + fields + "}}\n";
}

}  // namespace karma::test
