-- How a category does with everybody.
SELECT category_id,
       count(*) FILTER (WHERE kind = 'view'  AND within(ts, '30 minutes')) AS views_30m,
       count(*) FILTER (WHERE kind = 'view'  AND within(ts, '1 day'))      AS views_1d,
       count(*) FILTER (WHERE kind <> 'view' AND within(ts, '1 day'))      AS wants_1d,
       avg(price) FILTER (WHERE within(ts, '1 day'))                       AS price_1d
FROM clicks
GROUP BY category_id
