-- How an item does with everybody, and what it is: a request names items only, so their category and price come from here.
SELECT item_id,
       -- An item has one category. Without a horizon: kept for the table's retention.
       max(category_id)                                                   AS category_id,
       avg(price) FILTER (WHERE within(ts, '1 day'))                      AS price,
       count(*) FILTER (WHERE kind = 'view'  AND within(ts, '5 minutes')) AS views_5m,
       count(*) FILTER (WHERE kind = 'view'  AND within(ts, '1 hour'))    AS views_1h,
       count(*) FILTER (WHERE kind = 'view'  AND within(ts, '1 day'))     AS views_1d,
       count(*) FILTER (WHERE kind <> 'view' AND within(ts, '1 day'))     AS wants_1d,
       count(*) FILTER (WHERE kind = 'buy'   AND within(ts, '1 day'))     AS buys_1d,
       -- Clicks that came from a ranking.
       count(request_id) FILTER (WHERE kind = 'view' AND within(ts, '1 hour')) AS ranked_clicks_1h
FROM clicks
GROUP BY item_id
