/* SPDX-License-Identifier: Apache-2.0 */
/* cc send_event.c $(pkg-config --cflags --libs polku-producer) -o send_event && ./send_event kafka1:9092 interactions */
#include <polku/producer.h>
#include <stdio.h>
#include <time.h>

int main(int argc, char *argv[])
{
    struct polku_producer *producer;
    struct polku_error error;
    struct polku_report report = {.struct_size = sizeof report};
    struct polku_config config = {.struct_size = sizeof config,
                                  .brokers = argc > 1 ? argv[1] : "localhost:9092",
                                  .topic = argc > 2 ? argv[2] : "interactions"};
    struct polku_identifier who[] = {{"phone", "+358 40 123 4567"}, {"shop/customer_id", "8812"}};
    struct polku_event event = {.struct_size = sizeof event, .event_id = "call-77-1", .source = "callcentre",
                                .occurred_at_us = (int64_t)time(NULL) * 1000000, .type = "callback.requested",
                                .channel = "phone", .direction = POLKU_INBOUND, .actor = POLKU_CUSTOMER, .brand = "Shop",
                                .unit = "Switchboard", .identifier = who, .identifier_count = 2};

    if (polku_producer_open(&config, &producer, &error) != POLKU_OK) {
        fprintf(stderr, "cannot start: %s\n", error.text);
        return 1;
    }
    if (polku_producer_send(producer, &event, NULL, &error) != POLKU_OK)
        fprintf(stderr, "not accepted: %s\n", error.text);
    if (polku_producer_close(producer, 30000, &report, &error) != POLKU_OK)
        fprintf(stderr, "not delivered: %s\n", error.text);
    printf("%llu of 1 event delivered\n", (unsigned long long)report.delivered);
    return report.delivered == 1 ? 0 : 1;
}
