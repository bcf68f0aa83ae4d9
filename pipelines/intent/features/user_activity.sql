-- What a person did lately: how much, how varied, and how often a look led to more.
SELECT user_id,
       count(*) FILTER (WHERE behavior = 'pv'  AND within(ts, '5 minutes')) AS views_5m,
       count(*) FILTER (WHERE behavior = 'pv'  AND within(ts, '1 hour'))    AS views_1h,
       count(*) FILTER (WHERE behavior = 'pv'  AND within(ts, '1 day'))     AS views_1d,
       count(*) FILTER (WHERE behavior <> 'pv' AND within(ts, '1 hour'))    AS actions_1h,
       count(*) FILTER (WHERE behavior <> 'pv' AND within(ts, '1 day'))     AS actions_1d,
       count(DISTINCT item_id)     FILTER (WHERE within(ts, '1 hour'))      AS items_1h,
       count(DISTINCT category_id) FILTER (WHERE within(ts, '1 hour'))      AS categories_1h,
       -- When the visit of the last half hour began.
       min(ts) FILTER (WHERE within(ts, '30 minutes'))                      AS active_since_30m,
       -- What the person wanted, not only looked at, oldest first.
       last_n(item_id, 20)     FILTER (WHERE behavior <> 'pv' AND within(ts, '1 day')) AS wanted_items,
       last_n(category_id, 20) FILTER (WHERE behavior <> 'pv' AND within(ts, '1 day')) AS wanted_categories
FROM behavior
GROUP BY user_id
