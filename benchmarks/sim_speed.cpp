// The bare Verilated model in a C++ loop: what the simulated board is held against. Feeds the bytes of a file to the
// board's inbox, lets the model run until it is idle, and prints clock cycles and seconds.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "Vboard.h"
#include "Vboard___024root.h"
#include "verilated.h"

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    std::ifstream file{argv[1], std::ios::binary};
    const std::vector<char> bytes{std::istreambuf_iterator<char>{file}, {}};
    size_t given = 0;

    Vboard model{""};
    auto& board = *model.rootp;
    unsigned long cycles = 0;
    const auto start = std::chrono::steady_clock::now();
    while (true) {
        model.clk = 1;
        model.eval();
        model.clk = 0;
        model.eval();
        ++cycles;
        if (!model.attention) continue;
        if (board.board__DOT__idle && given == bytes.size()) break;
        const size_t room = board.board__DOT__exhausted ? sizeof board.board__DOT__inbox : 0;
        const size_t count = std::min(room, bytes.size() - given);
        if (count) {
            std::memcpy(&board.board__DOT__inbox, &bytes[given], count);
            board.board__DOT__inbox_count = count;
            given += count;
        }
        board.board__DOT__refill = count != 0;
        board.board__DOT__more = given < bytes.size();
        board.board__DOT__turn ^= 1;
        model.eval();
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%lu %.6f\n", cycles, seconds.count());
    return 0;
}
