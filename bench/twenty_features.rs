//! The table that benchmarks of features and of their state share.

/// Twenty features over five horizons.
pub(crate) const SQL: &str = "SELECT user_id,
    count(*)                 FILTER (WHERE within(ts, '10 seconds'))                     AS events_10s,
    count(*)                 FILTER (WHERE kind = 'view' AND within(ts, '10 seconds'))   AS views_10s,
    count(*)                 FILTER (WHERE kind = 'view' AND within(ts, '5 minutes'))    AS views_5m,
    count(*)                 FILTER (WHERE kind = 'cart' AND within(ts, '5 minutes'))    AS carts_5m,
    avg(price)               FILTER (WHERE kind = 'view' AND within(ts, '5 minutes'))    AS price_5m,
    max(price)               FILTER (WHERE kind = 'view' AND within(ts, '5 minutes'))    AS dearest_5m,
    count(*)                 FILTER (WHERE kind = 'view' AND within(ts, '1 hour'))       AS views_1h,
    count(*)                 FILTER (WHERE kind = 'cart' AND within(ts, '1 hour'))       AS carts_1h,
    count(*)                 FILTER (WHERE kind = 'buy' AND within(ts, '1 hour'))        AS buys_1h,
    sum(price)               FILTER (WHERE kind = 'buy' AND within(ts, '1 hour'))        AS spend_1h,
    max(price)               FILTER (WHERE kind = 'view' AND within(ts, '1 hour'))       AS dearest_1h,
    count(DISTINCT item_id)  FILTER (WHERE within(ts, '1 hour'))                         AS items_1h,
    count(*)                 FILTER (WHERE kind = 'view' AND within(ts, '1 day'))        AS views_1d,
    count(*)                 FILTER (WHERE kind = 'cart' AND within(ts, '1 day'))        AS carts_1d,
    count(*)                 FILTER (WHERE kind = 'buy' AND within(ts, '1 day'))         AS buys_1d,
    sum(price)               FILTER (WHERE kind = 'buy' AND within(ts, '1 day'))         AS spend_1d,
    last_n(item_id, 10)      FILTER (WHERE kind <> 'buy' AND within(ts, '1 day'))        AS recent_1d,
    count(*)                 FILTER (WHERE within(ts, '7 days'))                         AS events_7d,
    count(*)                 FILTER (WHERE kind = 'buy' AND within(ts, '7 days'))        AS buys_7d,
    sum(price)               FILTER (WHERE kind = 'buy' AND within(ts, '7 days'))        AS spend_7d
    FROM clicks GROUP BY user_id";
