/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"

typedef unsigned __int128 wide;

int64_t pace_due_us(const struct pace *pace, uint64_t number)
{
    wide events = (wide)number * UINT64_C(1000000000000), rate = (wide)pace->micro_rate;
    if (pace->burst_milli == 0)
        return (int64_t)(events / rate);
    events *= 1000;
    wide quiet_us = (wide)(pace->every_us - pace->for_us);
    wide quiet = quiet_us * rate * 1000, burst = (wide)pace->for_us * rate * (wide)pace->burst_milli;
    wide whole = events / (quiet + burst), rest = events % (quiet + burst);
    wide within = rest <= quiet ? rest / (rate * 1000) : quiet_us + (rest - quiet) / (rate * (wide)pace->burst_milli);
    return (int64_t)(whole * (wide)pace->every_us + within);
}
