/* The butterfly as one writes it first: table by table, player by player, the last player first. */

#include <stddef.h>

void butterfly(double *table, size_t tables, int players, double sign)
{
    size_t entries = (size_t)1 << players;
    for (size_t number = 0; number < tables; number++, table += entries)
        for (size_t half = 1; half < entries; half *= 2)
            for (size_t start = 0; start < entries; start += 2 * half)
                for (size_t place = start; place < start + half; place++)
                    table[place + half] += sign * table[place];
}
