-- What a person did lately, and what they are used to paying.
SELECT user_id,
       count(*) FILTER (WHERE kind = 'view' AND within(ts, '5 minutes')) AS views_5m,
       count(*) FILTER (WHERE kind = 'view' AND within(ts, '1 hour'))    AS views_1h,
       count(*) FILTER (WHERE kind = 'view' AND within(ts, '1 day'))     AS views_1d,
       count(*) FILTER (WHERE kind = 'cart' AND within(ts, '1 day'))     AS carts_1d,
       sum(price)    FILTER (WHERE kind = 'buy' AND within(ts, '1 day')) AS spend_1d,
       avg(price)    FILTER (WHERE within(ts, '1 hour'))                 AS price_1h,
       stddev(price) FILTER (WHERE within(ts, '30 minutes'))             AS price_spread_30m,
       max(price)    FILTER (WHERE kind <> 'view' AND within(ts, '1 day')) AS dearest_wanted_1d,
       count(DISTINCT category_id) FILTER (WHERE within(ts, '5 minutes')) AS categories_5m,
       last_n(item_id, 10) FILTER (WHERE within(ts, '5 minutes'))        AS recent_items,
       last_n(item_id, 20) FILTER (WHERE kind = 'buy' AND within(ts, '1 day')) AS bought_items
FROM clicks
GROUP BY user_id
